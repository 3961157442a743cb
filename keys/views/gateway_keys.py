"""The pages for gateway keys."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import push_url, reswap, retarget

from accounts.access import Action, get_or_404, require, scoped
from accounts.limits import show_limits
from accounts.spending import spending_of
from accounts.web import ConsoleRequest, console_view
from accounts.workspace_views import ask_reset
from gateway_project.lib.errors import ApiError, Conflict, InvalidRequest, PermissionDenied
from gateway_project.lib.htmx import go_to, is_htmx, render_part, say_and_go
from gateway_project.lib.origin import base_url
from gateway_project.lib.pagination import paginate
from keys import services
from keys.forms import GatewayKeyForm, RotateForm
from keys.live import unserved_note
from keys.models import GatewayKey, KeySecret
from keys.policies import policy_names

PAGE = "keys/gateway_key.html"


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """The workspace's keys, newest first."""
    try:
        page = paginate(scoped(_keys(), request.caller), cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    spent = spending_of(page.data)
    context = {
        "keys": [_shown(key) | {"spending": spent[key.pk]} for key in page.data],
        "next_cursor": page.next_cursor,
        "can_use_keys": request.caller.may(Action.USE_KEYS),
    }
    return render(request, "keys/gateway_keys.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_KEYS)
def new(request: ConsoleRequest) -> HttpResponse:
    """Create a key; the answer shows its secret, this once."""
    form = GatewayKeyForm(request.POST if request.method == "POST" else None, policies=_policies(request))
    form.fields["name"].widget.attrs["autofocus"] = not form.is_bound  # a refused form focuses what is wrong
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = services.create_key(request.caller, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return _secret_page(request, key, secret, note=_note(request, form))
    status = 422 if form.is_bound else 200
    context = {"form": form, "default_rate": _default_rate()}
    return render_part(request, "keys/gateway_key_new.html", "form", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """A key's settings and use."""
    key = _get(request, id)
    if request.method in ("GET", "HEAD"):
        return _detail_page(request, key, GatewayKeyForm(key=key, policies=_policies(request)))
    require(request.caller, Action.USE_KEYS)
    form = GatewayKeyForm(request.POST, key=key, policies=_policies(request))
    if form.is_valid():
        try:
            services.change_key(request.caller, key, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            note = _note(request, form)
            here = resolve_url("gateway-key", id=key.pk)
            return say_and_go(request, f"The changes are saved. {note}".strip(), here, warn=bool(note))
    return _detail_page(request, key, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_KEYS)
def rotate(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask for the overlap, then show the new secret, this once."""
    key = _get(request, id)
    here = resolve_url("gateway-key", id=key.pk)
    form = RotateForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        overlap = form.cleaned_data["overlap_seconds"]
        try:
            key, secret = services.rotate_key(request.caller, key, overlap)
        except (Conflict, PermissionDenied) as error:
            messages.error(request, error.message)
            return go_to(request, here)
        old_until = timezone.now() + timedelta(seconds=overlap) if overlap else None
        return _secret_page(request, key, secret, rotated=True, old_until=old_until)
    context = {
        "question": f"Rotate {key.name}?",
        "consequence": "The key gets a new secret. Its settings, its name and its record stay.",
        "button": "Rotate key",
        "button_class": "btn-primary",
        "form": form,
        "action": request.path,
        "back": here,
    }
    return render_part(request, "confirm.html", "dialog", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_KEYS)
def revoke(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then revoke."""
    key = _get(request, id)
    here = resolve_url("gateway-key", id=key.pk)
    if request.method == "POST":
        services.revoke_key(request.caller, key)
        return say_and_go(request, f"{key.name} is revoked.", resolve_url("gateway-keys"))
    context = {
        "question": f"Revoke {key.name}?",
        "consequence": "Whatever uses it is refused within five seconds. This cannot be undone.",
        "button": "Revoke key",
        "action": request.path,
        "back": here,
    }
    return render_part(request, "confirm.html", "dialog", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_KEYS)
def reset_budget(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then let what the key has spent of its budget count no more."""
    key = _get(request, id)
    here = resolve_url("gateway-key", id=key.pk)
    if request.method == "POST":
        services.reset_budget(request.caller, key)
        return say_and_go(request, f"The budget of {key.name} is whole again.", here)
    return ask_reset(request, key.name, here)


# --- Parts ---------------------------------------------------------------------------------------


def _keys() -> QuerySet[GatewayKey]:
    """Keys with their secrets, the newest first: two queries for any number of keys."""
    newest_first = Prefetch("secrets", KeySecret.objects.order_by("-id"), to_attr="newest_first")
    return GatewayKey.objects.select_related("created_by").prefetch_related(newest_first)


def _policies(request: ConsoleRequest) -> list[str]:
    return policy_names(request.caller.workspace)


def _note(request: ConsoleRequest, form: GatewayKeyForm) -> str:
    """What is to be said of the models that a saved key allows; "" for nothing."""
    return unserved_note(request.caller.workspace, form.cleaned_data["allowed_models"])


def _get(request: ConsoleRequest, id: str) -> GatewayKey:
    return get_or_404(_keys(), request.caller, id)


def _shown(key: GatewayKey) -> dict[str, Any]:
    """A key as the pages show it: its newest secret's ends, never more, and in what state it is."""
    secrets: list[KeySecret] = key.newest_first  # type: ignore[attr-defined]
    now = timezone.now()
    state = "active"
    if key.revoked_at:
        state = "revoked"
    elif key.expires_at and key.expires_at <= now:
        state = "expired"
    fields = ("id", "name", "created_at", "created_by", "expires_at", "revoked_at", "last_used_at", "spent_usd")
    return {name: getattr(key, name) for name in fields} | {
        "prefix": secrets[0].prefix if secrets else "",
        "last4": secrets[0].last4 if secrets else "",
        "old_secrets": [secret for secret in secrets[1:] if secret.expires_at and secret.expires_at > now],
        "state": state,
    }


def _detail_page(request: ConsoleRequest, key: GatewayKey, form: GatewayKeyForm, status: int = 200) -> HttpResponse:
    shown = _shown(key)
    context = {
        "key": shown,
        "spending": spending_of([key])[key.pk],
        "limits": {**show_limits(key), "rate_limit_window": key.rate_limit_window or settings.RATE_LIMIT_WINDOW},
        "default_rate": _default_rate(),
        "old_secrets": shown["old_secrets"],
        "form": form,
        "can_use_keys": request.caller.may(Action.USE_KEYS),
        "can_rotate": services.may_rotate(request.caller, key),
    }
    if status == 200:
        return render(request, PAGE, context)
    return render_part(request, PAGE, "form", context, status=status)


def _default_rate() -> str:
    """What limits a key that has no limit of requests of its own, in words; "" for nothing."""
    if not settings.RATE_LIMIT_REQUESTS:
        return ""
    many, seconds = settings.RATE_LIMIT_REQUESTS, settings.RATE_LIMIT_WINDOW
    return f"the default of this installation holds: {many} in {seconds} seconds"


def _secret_page(request: ConsoleRequest, key: GatewayKey, secret: str, **facts: Any) -> HttpResponse:
    """The one answer that holds a secret. It goes to no cache, no session and no history entry."""
    context = {"key": key, "secret": secret, "base_url": base_url(request), **facts}
    response = render_part(request, "keys/gateway_key_secret.html", "secret", context)
    if is_htmx(request):
        response = push_url(retarget(reswap(response, "innerHTML"), "#main"), resolve_url("gateway-key", id=key.pk))
    return response
