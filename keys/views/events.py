"""The page of the workspace's events."""

from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_safe

from accounts.access import Action, scoped
from accounts.models import Event
from accounts.queries import see_events
from accounts.web import ConsoleRequest, console_view
from accounts.wording import words_of
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.htmx import go_to
from gateway_project.lib.pagination import paginate
from keys.models import WebhookDelivery


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """Events, newest first; those that the reader had not seen are marked, and count as seen from now on."""
    sent = Prefetch("deliveries", WebhookDelivery.objects.select_related("webhook").order_by("id"))
    try:
        events = scoped(Event.objects.prefetch_related(sent), request.caller)
        page = paginate(events, cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    seen_until = see_events(request.caller)
    rows = [
        {
            "event": event,
            "words": words_of(event),
            "new": event.created_at > seen_until,
            "deliveries": event.deliveries.all(),
            "url": _url(event),
        }
        for event in page.data
    ]
    can_manage = request.caller.may(Action.MANAGE_WEBHOOKS)
    context = {"rows": rows, "next_cursor": page.next_cursor, "can_manage_webhooks": can_manage}
    return render(request, "keys/events.html", context)


def _url(event: Event) -> str:
    """The page of what it is about; "" where there is none."""
    data = event.data
    match event.kind, data.get("scope"):
        case "budget.threshold" | "budget.refused", "key":
            return resolve_url("gateway-key", id=data["id"])
        case "budget.threshold" | "budget.refused", "workspace":
            return resolve_url("workspace")
        case "budget.threshold" | "budget.refused", _:
            return resolve_url("team")
        case "webhook.disabled", _:
            return resolve_url("webhook", id=data["webhook_id"])
        case "provider.refused", _:
            return resolve_url("provider", id=data["provider_id"])
    return ""
