"""The health board: how every target is, as this process found by asking them."""

from math import ceil
from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.access import Action, scoped
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.htmx import go_to, render_part
from gateway_project.lib.pagination import paginate_named
from keys.models import Provider
from routing import health
from routing.providers.base import Target
from routing.schemas import show_health
from routing.views.models import workspace_view

# The share of failed requests from which on a target that is still asked is said to fail often.
OFTEN = 0.1


@require_safe
@console_view()
def board(request: ConsoleRequest) -> HttpResponse:
    """Targets by provider; asked again every few seconds by the page."""
    view = workspace_view(request)
    try:
        page, following = paginate_named(view.all, lambda target: target.id, cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    fields = ("id", "name", "last_error", "enabled", "discovered_at", "locality")
    providers = list(scoped(Provider.objects.order_by("name"), request.caller).values(*fields))
    errors = {provider["name"]: provider["last_error"] for provider in providers}
    context = {
        "targets": [_shown(target, errors.get(target.provider, "")) for target in page],
        "silent": [provider for provider in providers if provider["enabled"] and provider["last_error"]],
        "next_cursor": following,
        "can_manage": request.caller.may(Action.MANAGE_PROVIDERS),
    }
    return render_part(request, "routing/fleet.html", "board", context)


def _shown(target: Target, last_error: str) -> dict[str, Any]:
    """How `target` is, with the whole seconds that it still rests (0: a trial is due) and whether it fails often."""
    shown = show_health(target, health.current, last_error)
    waits = shown["retry_in_s"]
    return {
        **shown,
        "rests_s": None if waits is None else ceil(waits),
        "often": shown["state"] == "closed" and shown["error_rate"] >= OFTEN,
    }
