"""The pages for providers."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Action, get_or_404, require, scoped
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError, Conflict
from gateway_project.lib.htmx import go_to, is_htmx, render_part, say_and_go, toast
from keys import services
from keys.forms import USUAL_ADDRESS, ProviderForm, free_name
from keys.kinds import KINDS, Kind
from keys.live import refused_secrets
from keys.models import Provider

DEMO = KINDS["demo"]


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """The workspace's providers, by name."""
    refusals = refused_secrets(request.caller.workspace)
    context = {
        "providers": [
            _shown(provider) | {"refusal": refusals.get(str(provider.pk))} for provider in _providers(request)
        ],
        "can_manage": request.caller.may(Action.MANAGE_PROVIDERS),
    }
    return render(request, "keys/providers.html", context)


@sensitive_post_parameters("api_key")
@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_PROVIDERS)
def new(request: ConsoleRequest) -> HttpResponse:
    """Choose a kind (`?kind=`), then fill in what that kind needs."""
    kind = KINDS.get(request.GET.get("kind", ""))
    if kind is None:
        return render_part(request, "keys/provider_new.html", "picker", {"groups": _kind_groups()})
    if request.method == "POST":
        form = ProviderForm(kind, request.POST)
        if form.is_valid():
            try:
                provider = services.create_provider(request.caller, form.fields_for_service())
            except ApiError as error:
                form.refuse(error)
            else:
                return _added(request, provider)
        return _new_page(request, kind, form, "form", status=422)
    taken = {name.lower() for name in _providers(request).values_list("name", flat=True)}
    return _new_page(request, kind, ProviderForm(kind, initial={"name": free_name(kind, taken)}), "picker")


@require_POST
@console_view(Action.MANAGE_PROVIDERS)
def demo(request: ConsoleRequest) -> HttpResponse:
    """Add the demo provider in one click."""
    taken = {name.lower() for name in _providers(request).values_list("name", flat=True)}
    try:
        provider = services.create_provider(request.caller, {"kind": DEMO.id, "name": free_name(DEMO, taken)})
    except Conflict:  # a second click came between: there is one now
        return go_to(request, resolve_url("overview"))
    return say_and_go(request, f"{provider.name} is ready.", resolve_url("overview"))


@sensitive_post_parameters("api_key")
@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """A provider's settings, models and state."""
    provider = _get(request, id)
    if request.method in ("GET", "HEAD"):
        return _detail_page(request, provider, ProviderForm(KINDS[provider.kind], provider=provider))
    require(request.caller, Action.MANAGE_PROVIDERS)
    form = ProviderForm(KINDS[provider.kind], request.POST, provider=provider)
    if form.is_valid():
        try:
            provider = services.change_provider(request.caller, provider, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, "The changes are saved.", resolve_url("provider", id=provider.pk))
    return _detail_page(request, provider, form, status=422)


@require_POST
@console_view(Action.MANAGE_PROVIDERS)
def test(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask the provider how it is, and say it in place (htmx) or on its page."""
    provider = _get(request, id)
    result = services.test_provider(provider)
    if is_htmx(request) and request.POST.get("from") != "list":
        return render(request, "keys/provider.html#test_result", {"provider": provider, "result": result})
    found = f" and lists {_models(len(result.models))}" if result.models else ""
    message = f"{provider.name} answers{found}." if result.ok else f"{provider.name}: {result.error}"
    level = "success" if result.ok else "error"
    if is_htmx(request):
        return toast(HttpResponse(status=204), message, level)
    messages.add_message(request, messages.SUCCESS if result.ok else messages.ERROR, message)
    return go_to(request, resolve_url("provider", id=provider.pk))


@require_POST
@console_view(Action.MANAGE_PROVIDERS)
def state(request: ConsoleRequest, id: str) -> HttpResponse:
    """Enable or disable."""
    provider = _get(request, id)
    enabled = request.POST.get("enabled") == "yes"
    services.change_provider(request.caller, provider, {"enabled": enabled})
    word = "enabled" if enabled else "disabled"
    return say_and_go(request, f"{provider.name} is {word}.", resolve_url("provider", id=provider.pk))


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_PROVIDERS)
def remove(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then remove."""
    provider = _get(request, id)
    here = resolve_url("provider", id=provider.pk)
    if request.method == "POST":
        try:
            services.remove_provider(request.caller, provider)
        except Conflict as error:
            messages.error(request, error.message)
            return go_to(request, here)
        return say_and_go(request, f"{provider.name} is removed.", resolve_url("providers"))
    context = {
        "question": f"Remove {provider.name}?",
        "consequence": "Requests stop going there at once, and its stored API key is deleted. "
        "Past requests stay on record.",
        "button": "Remove provider",
        "action": request.path,
        "back": here,
    }
    return render_part(request, "confirm.html", "dialog", context)


# --- Parts ---------------------------------------------------------------------------------------


def _providers(request: ConsoleRequest) -> QuerySet[Provider]:
    return scoped(Provider.objects.order_by("name"), request.caller)


def _get(request: ConsoleRequest, id: str) -> Provider:
    return get_or_404(Provider.objects.all(), request.caller, id)


def _shown(provider: Provider) -> dict[str, Any]:
    """A row of the list."""
    kind = KINDS.get(provider.kind)
    models = provider.model_ids or provider.discovered_models
    fields = ("id", "name", "kind", "enabled", "last_error", "discovered_at", "model_ids", "locality", "secret_hint",
              "from_environment")  # fmt: skip
    return {name: getattr(provider, name) for name in fields} | {
        "kind_label": kind.label if kind else provider.kind,
        "models_count": len(models),
    }


def _new_page(request: ConsoleRequest, kind: Kind, form: ProviderForm, part: str, status: int = 200) -> HttpResponse:
    context = {"groups": _kind_groups(), "kind": kind, "form": form}
    return render_part(request, "keys/provider_new.html", part, context, status=status)


def _detail_page(request: ConsoleRequest, provider: Provider, form: ProviderForm, status: int = 200) -> HttpResponse:
    context = {
        "provider": provider,
        "kind": form.kind,
        "refusal": refused_secrets(request.caller.workspace).get(str(provider.pk)) if provider.enabled else None,
        "form": form,
        "models": provider.model_ids or provider.discovered_models,
        "can_manage": request.caller.may(Action.MANAGE_PROVIDERS),
    }
    if status == 200:
        return render(request, "keys/provider.html", context)
    return render_part(request, "keys/provider.html", "form", context, status=status)


def _kind_groups() -> list[dict[str, Any]]:
    """The kinds as the picker groups them."""
    own = [kind for kind in KINDS.values() if kind.self_hosted and kind is not DEMO]
    clouds = [kind for kind in KINDS.values() if not kind.self_hosted]

    def shown(kind: Kind, note: str) -> dict[str, str]:
        return {"id": kind.id, "label": kind.label, "note": note}

    return [
        {"title": "To try the gateway", "kinds": [shown(DEMO, "Needs nothing, works offline")]},
        {
            "title": "Servers of your own",
            "kinds": [
                shown(kind, USUAL_ADDRESS.get(kind.id, "Any server with that API").removeprefix("http://"))
                for kind in own
            ],
        },
        {"title": "Cloud APIs", "kinds": [shown(kind, "Needs an API key") for kind in clouds]},
    ]


def _added(request: ConsoleRequest, provider: Provider) -> HttpResponse:
    """To the new provider's page, with what asking it for its models came to."""
    here = resolve_url("provider", id=provider.pk)
    if provider.last_error:
        messages.warning(request, f"{provider.name} is added, but it does not answer yet.")
        return go_to(request, here)
    known = _models(len(provider.discovered_models))
    return say_and_go(request, f"{provider.name} is added and lists {known}.", here)


def _models(count: int) -> str:
    return f"{count:,} model{'' if count == 1 else 's'}"
