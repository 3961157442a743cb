"""The pages for requests, and for what they come to."""

import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import Action, Caller
from accounts.web import ConsoleRequest, console_view
from analytics import charts, content, queries, sums
from analytics.amounts import as_text
from analytics.export import csv_response
from analytics.forms import CUSTOM, GROUPS, AnalyticsFilter, RequestFilter
from analytics.models import UsageRecord
from analytics.params import MAX_EXPORT
from analytics.period import BY_HOUR, PRESETS
from analytics.sums_sql import Question
from gateway_project.lib import format as text
from gateway_project.lib.days import DAY
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.htmx import render_part
from gateway_project.lib.pagination import Page, paginate

PAGE_SIZE = 50
# A workspace may have ten thousand keys; a select should not.
KEY_CHOICES = 100
# What has a name of its own in a select: the models, providers and policies of so many days.
USED_DAYS, USED_CHOICES = 90, 200
NO_KEY = "Console"
GONE_KEY = "Removed key"
# What a group is called that has no value, and one whose name is not known any more.
NO_VALUE = {
    "model": "No model",
    "provider": "No provider",
    "key": NO_KEY,
    "policy": text.policy(""),
    "user": "Nobody",
}
GONE = {"key": GONE_KEY, "user": "Former member"}
# Bars of a chart, and rows of a table, of groups.
BARS, GROUP_ROWS = 10, 50
CLIENT_LEFT = 499
# What the groups are ordered by, by the measure that their chart shows.
ORDERS = {"cost": "cost_usd", "requests": "requests", "tokens": "tokens", "errors": "errors", "saved": "saved_usd"}
# What `cache` says of a request whose answer was made for another one.
CACHED = ("hit", "semantic")


@require_safe
@console_view()
def analytics(request: ConsoleRequest) -> HttpResponse:
    """What the requests of a period come to: by day, and by what they have in common, as the URL asks."""
    caller, now = request.caller, timezone.now()
    names = _used_names(caller, request, now, ("model", "provider", "policy"))
    form = AnalyticsFilter(request.GET, names=names | {"key": _key_choices(caller, request.GET.get("key", ""))})
    context: dict[str, Any] = {"form": form, "presets": {id: label for id, (label, _) in PRESETS.items()}}
    if form.is_valid():
        try:
            question = Question(caller, form.span(now), form.filters())
            context |= _sums(request, form, question, now)
        except InvalidRequest as error:
            form.refuse(error)
    context |= {"chosen": form.chosen_period, "custom": form.chosen_period == CUSTOM}
    return render_part(request, "analytics/analytics.html", "results", context, status=422 if form.errors else 200)


def _sums(request: ConsoleRequest, form: AnalyticsFilter, question: Question, now: datetime) -> dict[str, Any]:
    """What the page shows of a question. Raises InvalidRequest for a cut day whose requests are gone, or a cursor."""
    data = form.cleaned_data
    by, measure = data["by"] or "model", data["measure"] or "cost"
    hourly = form.chosen_period == BY_HOUR
    spans = sums.by_hour(question, now) if hourly else sums.by_day(question, now.astimezone(UTC).date())
    found = sums.breakdown(
        question, by, order=ORDERS.get(measure, "requests"), limit=GROUP_ROWS, cursor=request.GET.get("cursor")
    )
    names = queries.group_names(request.caller, by, [group.values[0] for group in found.groups])
    groups = [
        {
            "group": group,
            "name": _group_name(by, group.values[0], names),
            "query": _narrowed(request, by, group.values[0]),
        }
        for group in found.groups
    ]
    bars = [chart for chart in charts.CHARTS if chart.id == measure]
    labels = [str(each["name"]) for each in groups[:BARS]]
    return {
        "spans": spans.groups[::-1],
        "span": "hour" if hourly else "day",
        "span_format": "D j M, H:i" if hourly else "D j M Y",
        "total": spans.total,
        "groups": groups,
        "next_cursor": found.next_cursor,
        "by": by,
        "by_label": GROUPS[by],
        "measure": measure,
        "measure_label": charts.MEASURES[measure],
        "tabs": GROUPS,
        "charts": charts.CHARTS,
        "chart_data": charts.drawn(
            charts.CHARTS, [_short(each.values[0], hourly) for each in spans.groups], spans.groups, across=False
        )
        + charts.drawn(bars, labels, found.groups[:BARS], across=True),
        "ever": bool(spans.total.sums.requests) or bool(queries.latest(request.caller, 1)),
    }


@require_safe
@console_view()
def requests(request: ConsoleRequest) -> HttpResponse:
    """Requests, newest first, as the URL filters them."""
    caller = request.caller
    form = _request_filter(request)
    page: Page[UsageRecord] = Page([], None)
    if form.is_valid():
        try:
            rows = queries.records(caller, form.filters())
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
def export(request: ConsoleRequest) -> HttpResponseBase:
    """The requests that the page of requests shows, as CSV; a filter that cannot be used is said there."""
    form = _request_filter(request)
    if not form.is_valid():
        return requests(request)
    return csv_response(request, queries.records(request.caller, form.filters()), limit=MAX_EXPORT)


def _request_filter(request: ConsoleRequest) -> RequestFilter:
    caller = request.caller
    names = _used_names(caller, request, timezone.now(), ("provider", "policy"))
    names |= {"key": _key_choices(caller, request.GET.get("key", ""))}
    names |= {"user": _member_choices(caller, request.GET.get("user", ""))}
    return RequestFilter(request.GET, names=names)


@require_safe
@console_view()
def request_detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """One request: its attempts, tokens, cost and timings."""
    caller = request.caller
    record = queries.request(caller, id)
    names = queries.key_names(caller, [record.key_id])
    context = {
        "record": record,
        "attempts": record.attempts,
        "candidates": queries.candidates(record),
        "longest_ms": max((attempt.get("ms") or 0 for attempt in record.attempts), default=0) or 1,
        "key_name": _key_name(record, names),
        "key_exists": record.key_id in names,
        "built_in_policy": text.policy(""),
        "cost_lines": queries.cost_lines(record),
        "grounding": queries.grounding(caller, record),
        **_content(caller, record),
        **_price_words(record),
    }
    return render(request, "analytics/request.html", context)


def _content(caller: Caller, record: UsageRecord) -> dict[str, Any]:
    """What was asked and answered, for who may read it, where it is kept."""
    kept = content.of(record, caller.workspace) if caller.may(Action.READ_CONTENT) else None
    if kept is None:
        return {}
    return {"content": kept, "content_request": json.dumps(kept.request, indent=2, ensure_ascii=False)}


def with_key_names(caller: Caller, rows: list[UsageRecord]) -> list[UsageRecord]:
    """`rows`, each with the `key_name` that a page shows."""
    names = queries.key_names(caller, (row.key_id for row in rows))
    for row in rows:
        row.key_name = _key_name(row, names)  # type: ignore[attr-defined]
    return rows


def _used_names(
    caller: Caller, request: ConsoleRequest, now: datetime, columns: tuple[str, ...]
) -> dict[str, dict[Any, str]]:
    """What the filters of `columns` offer: what was used lately, and what the URL names."""
    used = queries.used(caller, (now - USED_DAYS * DAY).date())
    names = {column: dict.fromkeys(used[column][:USED_CHOICES]) for column in columns}
    for column, found in names.items():
        if named := request.GET.get(column, "").replace("\0", ""):
            found.setdefault(named)
    return {column: {name: name for name in found} for column, found in names.items()}


def _member_choices(caller: Caller, chosen: str) -> dict[UUID, str]:
    """The members that the filter offers: the newest, and the one that the URL names."""
    names = queries.newest_member_names(caller, KEY_CHOICES)
    try:
        id = UUID(chosen)
    except ValueError:
        return names
    return names if id in names else names | {id: GONE["user"]}


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


def _group_name(by: str, value: Any, names: dict[Any, str]) -> str:
    return names.get(value, GONE.get(by, "")) if value else NO_VALUE[by]


def _narrowed(request: ConsoleRequest, by: str, value: Any) -> str:
    """The page's query with that group alone; "" where no filter names it."""
    if not value or by not in AnalyticsFilter.base_fields:
        return ""
    query = request.GET.copy()
    query[by] = str(value)
    query.pop("cursor", None)
    return f"?{query.urlencode()}"


def _short(when: date, hourly: bool) -> str:
    return f"{when:%H:%M}" if hourly else f"{when:%b} {when.day}"


def _announcement(page: Page[UsageRecord]) -> str:
    """What a screen reader is told when the list changes."""
    if not page.data:
        return "No request matches."
    more = ", and there are older ones" if page.next_cursor else ""
    return f"{len(page.data)} request{'' if len(page.data) == 1 else 's'}{more}."


def _price_words(record: UsageRecord) -> dict[str, Any]:
    """Where the price is from, and why there are no cost lines when there are none."""
    source = record.price.get("source", "")
    if record.replay_of:
        reason = f"Its Idempotency-Key had the answer to {record.replay_of}, which was given again."
        return {"price_source": "", "no_cost_reason": reason}
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
