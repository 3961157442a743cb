"""Where a visitor lands: `/`, and the console's overview."""

from datetime import UTC
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.templatetags.static import static
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.access import Action, Caller, scoped
from accounts.web import ConsoleRequest, console_view
from analytics import queries as analytics
from analytics import sums
from analytics.period import PRESETS, preset
from analytics.sums_sql import Question
from analytics.views import with_key_names
from gateway_project import VERSION
from gateway_project.lib.htmx import render_part
from gateway_project.lib.origin import base_url
from keys.live import refused_secrets
from keys.models import GatewayKey, Provider
from rag import queries as rag

LATEST = 8
LIBRARIES = 5
PERIODS = ("24h", "7d")
# htmx stops to poll on this status.
STOP_POLLING = 286


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The console for a browser, a few words of JSON for a client that asks for JSON."""
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        response: HttpResponse = JsonResponse(
            {"message": "LLM Gateway", "version": VERSION, "docs": request.build_absolute_uri(resolve_url("docs"))}
        )
    else:
        response = redirect("overview")
    patch_vary_headers(response, ["Accept"])
    return response


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For what asks for an icon without reading a page."""
    return HttpResponsePermanentRedirect(static("img/mark.svg"))


@require_safe
@console_view()
def overview(request: ConsoleRequest) -> HttpResponse:
    """What the workspace did lately; until its first request, the three steps to it."""
    steps = _steps(request)
    if not steps["finished"]:
        return render(request, "gateway/checklist.html", steps)
    chosen = request.GET.get("period", "")
    chosen = chosen if chosen in PERIODS else PERIODS[0]
    now = timezone.now()
    found = sums.by_day(Question(request.caller, preset(chosen, now)), now.astimezone(UTC).date())
    context = {
        "period": chosen,
        "period_label": PRESETS[chosen][0],
        "periods": [{"id": id, "label": PRESETS[id][0]} for id in PERIODS],
        "days": found.groups[::-1] if chosen == "7d" else [],
        "busiest_day": max((day.sums.requests for day in found.groups), default=0) or 1,
        "total": found.total,
        "rows": with_key_names(request.caller, analytics.latest(request.caller, LATEST)),
        "providers": _providers(request.caller),
        "libraries": _libraries(request.caller),
        "may_use_libraries": request.caller.may(Action.USE_LIBRARIES),
    }
    return render(request, "gateway/overview.html", context)


@require_safe
@console_view()
def checklist(request: ConsoleRequest) -> HttpResponse:
    """The steps alone, for the page that waits for the first request."""
    steps = _steps(request)
    response = render_part(request, "gateway/checklist.html", "steps", steps)
    if steps["finished"]:
        response.status_code = STOP_POLLING
    return response


def _providers(caller: Caller) -> list[Provider]:
    """The workspace's providers by name, each with why it refuses its key, if it does."""
    refusals, providers = refused_secrets(caller.workspace), list(scoped(Provider.objects.order_by("name"), caller))
    for provider in providers:
        provider.refusal = refusals.get(str(provider.pk))  # type: ignore[attr-defined]
    return providers


def _libraries(caller: Caller) -> list[dict[str, Any]]:
    """The newest libraries that hold documents, with how many of them."""
    return rag.shown_libraries(rag.filled_libraries(caller.workspace.pk)[:LIBRARIES])


def _steps(request: ConsoleRequest) -> dict[str, Any]:
    caller = request.caller
    provider = scoped(Provider.objects.filter(enabled=True), caller).order_by("created_at").first()
    key = scoped(GatewayKey.objects.filter(revoked_at=None), caller).order_by("-created_at").first()
    first = next(iter(analytics.latest(caller, 1)), None)
    done = [provider is not None, key is not None, first is not None]
    return {
        "finished": first is not None,
        "provider": provider,
        "key": key,
        "first": first,
        "current": done.index(False) if False in done else None,
        "base_url": base_url(request),
        "may_provide": caller.may(Action.MANAGE_PROVIDERS),
        "may_use_keys": caller.may(Action.USE_KEYS),
    }
