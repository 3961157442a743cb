"""`/api/analytics`: the ledger of the caller's workspace."""

from datetime import UTC, date
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from ninja import Query, Router

from accounts.auth import ApiRequest, api_auth
from analytics import queries, sums
from analytics.export import csv_response
from analytics.params import BreakdownQuery, ExportQuery, PagedSumsQuery, RequestsQuery, SumsQuery
from analytics.schemas import (
    BreakdownOut,
    DistributionOut,
    OverviewOut,
    RequestDetail,
    RequestRow,
    share,
    show_period,
    show_request,
    show_row,
    show_sums,
)
from analytics.sums_sql import Question
from gateway_project.lib.pagination import ListOf, paginate

router = Router(auth=api_auth, tags=["Analytics"])

CSV = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}}


@router.get("/overview", response=OverviewOut, by_alias=True, summary="Sum up a period")
def overview(request: ApiRequest, filters: Query[SumsQuery]) -> dict[str, Any]:
    """What the requests of a period come to, and each of its days (UTC).

    A request belongs to the moment at which it arrived. It is in the sums as soon as it is in the list of requests,
    within a second of its answer's end. Sums stay when retention drops the requests; a period that begins or ends
    within such a day is refused, as only the whole day's sum is known.
    """
    period = filters.period()
    found = sums.by_day(Question(request.auth, period, filters.filters()), _today())
    total = found.total.sums
    return {
        **show_period(period),
        **show_sums(found.total),
        "error_rate": share(total.errors, total.requests),
        "cache_hit_rate": share(total.cache_hits, total.cache_asked),
        "days": [{"day": day.values[0], **show_sums(day)} for day in found.groups],
    }


@router.get("/cost-breakdown", response=BreakdownOut, by_alias=True, summary="Sum up a period by model, key, day …")
def cost_breakdown(request: ApiRequest, filters: Query[BreakdownQuery]) -> dict[str, Any]:
    """The sums of the overview by what requests have in common. The groups of all pages add up to `total`."""
    period, by = filters.period(), filters.group_by
    question = Question(request.auth, period, filters.filters())
    found = sums.breakdown(question, by, limit=filters.limit, cursor=filters.cursor)
    names = queries.group_names(request.auth, by, [group.values[0] for group in found.groups])
    return {
        "group_by": by,
        **show_period(period),
        "total": show_sums(found.total),
        "data": [
            {
                "group": _plain(group.values[0]),
                "name": names.get(group.values[0]),
                "cost_share": share(group.sums.cost_usd, found.total.sums.cost_usd),
                **show_sums(group),
            }
            for group in found.groups
        ],
        "next_cursor": found.next_cursor,
    }


@router.get("/model-distribution", response=DistributionOut, by_alias=True, summary="Tell where requests went")
def model_distribution(request: ApiRequest, filters: Query[PagedSumsQuery]) -> dict[str, Any]:
    """The sums of the overview by provider and model. The targets of all pages add up to `total`."""
    period = filters.period()
    question = Question(request.auth, period, filters.filters())
    found = sums.breakdown(question, "target", order="requests", limit=filters.limit, cursor=filters.cursor)
    total = found.total.sums
    return {
        **show_period(period),
        "total": show_sums(found.total),
        "data": [
            {
                **dict(zip(("provider", "model"), map(_plain, target.values), strict=True)),
                "request_share": share(target.sums.requests, total.requests),
                "cost_share": share(target.sums.cost_usd, total.cost_usd),
                **show_sums(target),
            }
            for target in found.groups
        ],
        "next_cursor": found.next_cursor,
    }


@router.get("/requests", response=ListOf[RequestRow], exclude_unset=True, summary="List requests, newest first")
def list_requests(request: ApiRequest, filters: Query[RequestsQuery]) -> dict[str, Any]:
    rows = queries.records(request.auth, filters.filters())
    return paginate(rows, limit=filters.limit, cursor=filters.cursor).shown(show_row)


@router.get("/requests.csv", response=None, openapi_extra=CSV, summary="Export requests, newest first")
def export_requests(request: ApiRequest, filters: Query[ExportQuery]) -> StreamingHttpResponse:
    """The same rows as a table in CSV. Where there are more than `limit`, the header `Link` names the address of the
    rest (`rel="next"`). A text that a spreadsheet would run as a formula has a `'` before it.
    """
    rows = queries.records(request.auth, filters.filters())
    return csv_response(request, rows, limit=filters.limit, cursor=filters.cursor)


@router.get("/requests/{request_id}", response=RequestDetail, exclude_unset=True, summary="Show a request")
def get_request(request: ApiRequest, request_id: str) -> dict[str, Any]:
    """`request_id` is the answer's `x-request-id`. A record is there within a second of its answer's end."""
    return show_request(request.auth, queries.request(request.auth, request_id))


def _today() -> date:
    return timezone.now().astimezone(UTC).date()


def _plain(value: Any) -> str | None:
    """A group's value as text; none is null."""
    return str(value) if value else None
