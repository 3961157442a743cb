"""The pages for requests."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import Caller, get_or_404
from accounts.web import ConsoleRequest, console_view
from analytics import queries
from analytics.forms import RequestFilter
from analytics.models import UsageRecord
from analytics.pricing import as_text
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.htmx import render_part
from gateway_project.lib.pagination import Page, paginate

PAGE_SIZE = 50
# A workspace may have ten thousand keys; a select should not.
KEY_CHOICES = 100
NO_KEY = "Console"
GONE_KEY = "Removed key"
CLIENT_LEFT = 499
# What `cache` says of a request whose answer was made for another one.
CACHED = ("hit", "semantic")


@require_safe
@console_view()
def requests(request: ConsoleRequest) -> HttpResponse:
    """Requests, newest first, as the URL filters them."""
    caller = request.caller
    form = RequestFilter(request.GET, keys=_key_choices(caller, request.GET.get("key", "")))
    page: Page[UsageRecord] = Page([], None)
    if form.is_valid():
        try:
            rows = form.apply(queries.records(caller))
            page = paginate(rows, limit=PAGE_SIZE, cursor=request.GET.get("cursor"))
        except InvalidRequest as error:
            form.refuse(error)
    context = {
        "form": form,
        "rows": with_key_names(caller, page.data),
        "next_cursor": page.next_cursor,
        "filtered": form.active,
        "announcement": _announcement(page),
    }
    return render_part(request, "analytics/requests.html", "results", context, status=422 if form.errors else 200)


@require_safe
@console_view()
def request_detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """One request: its attempts, tokens, cost and timings."""
    record = get_or_404(UsageRecord.objects.all(), request.caller, id)
    names = queries.key_names(request.caller, [record.key_id])
    context = {
        "record": record,
        "attempts": record.attempts,
        "longest_ms": max((attempt.get("ms") or 0 for attempt in record.attempts), default=0) or 1,
        "key_name": _key_name(record, names),
        "key_exists": record.key_id in names,
        "cost_lines": queries.cost_lines(record),
        **_price_words(record),
    }
    return render(request, "analytics/request.html", context)


def with_key_names(caller: Caller, rows: list[UsageRecord]) -> list[UsageRecord]:
    """`rows`, each with the `key_name` that a page shows."""
    names = queries.key_names(caller, (row.key_id for row in rows))
    for row in rows:
        row.key_name = _key_name(row, names)  # type: ignore[attr-defined]
    return rows


def _key_choices(caller: Caller, chosen: str) -> dict[UUID, str]:
    """The keys that the filter offers: the newest, and the one that the URL names."""
    names = queries.newest_key_names(caller, KEY_CHOICES)
    try:
        id = UUID(chosen)
    except ValueError:
        return names
    return names if id in names else names | queries.key_names(caller, [id])


def _key_name(row: UsageRecord, names: dict[UUID, str]) -> str:
    return names.get(row.key_id, GONE_KEY) if row.key_id else NO_KEY


def _announcement(page: Page[UsageRecord]) -> str:
    """What a screen reader is told when the list changes."""
    if not page.data:
        return "No request matches."
    more = ", and there are older ones" if page.next_cursor else ""
    return f"{len(page.data)} request{'' if len(page.data) == 1 else 's'}{more}."


def _price_words(record: UsageRecord) -> dict[str, Any]:
    """Where the price is from, and why there are no cost lines when there are none."""
    source = record.price.get("source", "")
    if record.cache in CACHED:
        saved = f", which saved ${as_text(record.saved_usd)}" if record.saved_usd else ""
        return {"price_source": "", "no_cost_reason": f"The answer came from the cache{saved}."}
    if record.status >= 400 and record.status != CLIENT_LEFT and not record.cost_usd:
        return {"price_source": "", "no_cost_reason": "No model answered, so nothing was charged."}
    if source == "provider":
        return {"price_source": "as the provider billed it", "no_cost_reason": "The provider sent its own bill."}
    if source == "local":
        return {"price_source": "", "no_cost_reason": "The answer was made on a local model, which costs nothing."}
    if source == "unknown":
        reason = "No price is known for this model, so its cost counts as zero."
        return {"price_source": "price unknown", "no_cost_reason": reason}
    if not source:
        return {"price_source": "", "no_cost_reason": "No model answered, so nothing was charged."}
    tier = record.price.get("tier", "standard")
    note = "" if tier == "standard" else f", {tier} rates"
    return {"price_source": f"prices of {source}{note}", "no_cost_reason": "No tokens were used."}
