"""The pages for models: the list with what is known of each, and what the workspace knows better."""

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import Action, require, scoped
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError, InvalidRequest
from gateway_project.lib.htmx import go_to, render_part, say_and_go
from gateway_project.lib.pagination import paginate_named
from keys.models import Provider
from keys.queries import facts
from routing import catalog, services, snapshot
from routing.catalog import ModelSettingsFacts
from routing.forms import ModelForm
from routing.models import ModelSettings
from routing.queries import settings_facts
from routing.schemas import show_model
from routing.services.model_settings import find
from routing.targets import WorkspaceTargets, make_target

PAGE = "routing/model.html"
MAX_SEARCH = 200


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """Every model of every enabled provider; `?q=` searches their names."""
    view = workspace_view(request)
    wanted = request.GET.get("q", "")[:MAX_SEARCH].strip().lower()
    targets = [target for target in view.all if wanted in target.id.lower()]
    try:
        page, following = paginate_named(targets, lambda target: target.id, cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    context = {
        "models": [
            {**show_model(target, view.settings.get(target.key)), "chats": catalog.chats(target.kind, target.model)}
            for target in page
        ],
        "next_cursor": following,
        "wanted": wanted,
        "total": len(view.all),
        "announcement": f"{len(targets)} model{'' if len(targets) == 1 else 's'}",
    }
    return render_part(request, "routing/models.html", "results", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def detail(request: ConsoleRequest, model_id: str) -> HttpResponse:
    """A model: what the catalog says, and what the workspace knows better."""
    provider, name = find(request.caller, model_id)
    row = ModelSettings.objects.filter(provider=provider, model=name).first()
    own = settings_facts(row) if row else None
    catalogued = catalog.described(make_target(facts(provider), name))
    form = ModelForm(request.POST if request.method == "POST" else None, known=catalogued, initial=_initial(own))
    if form.is_bound:
        require(request.caller, Action.MANAGE_ROUTING)
    if form.is_bound and form.is_valid():
        try:
            services.set_model(request.caller, model_id, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, "The changes are saved.", resolve_url("model", model_id=model_id))
    return _page(request, provider, name, own, form)


def workspace_view(request: ConsoleRequest) -> WorkspaceTargets:
    """What the request path of this process knows of the caller's workspace."""
    return snapshot.current.workspace(str(request.caller.workspace.pk))


# --- Parts ---------------------------------------------------------------------------------------


def _initial(own: ModelSettingsFacts | None) -> dict[str, object]:
    if own is None:
        return {"enabled": True}
    names = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok", "quality", "context_window")
    return {**{name: getattr(own, name) for name in names}, "enabled": own.enabled is not False}


def _page(
    request: ConsoleRequest, provider: Provider, name: str, own: ModelSettingsFacts | None, form: ModelForm
) -> HttpResponse:
    context = {
        "provider": scoped(Provider.objects.all(), request.caller).get(pk=provider.pk),
        "name": name,
        "model": show_model(make_target(facts(provider), name, own), own),
        "form": form,
        "can_manage": request.caller.may(Action.MANAGE_ROUTING),
    }
    return render_part(request, PAGE, "form", context, status=422) if form.is_bound else render(request, PAGE, context)
