"""`/api/analytics`: the ledger of the caller's workspace."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from ninja import Field, Query, Router, Schema

from accounts.access import get_or_404
from accounts.auth import ApiRequest, api_auth
from analytics import queries
from analytics.models import UsageRecord
from analytics.pricing import as_text
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.pagination import ListOf, PageQuery, paginate

router = Router(auth=api_auth, tags=["analytics"])

_CLASS = re.compile(r"[1-5]xx")
_CODE = re.compile(r"[1-5]\d\d")
# An offset whose plus sign was not encoded arrives as a space.
_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


class RequestsQuery(PageQuery):
    """The filters of the list of requests."""

    model: str = Field("", max_length=300, description="The model that was asked upstream, exactly.")
    provider: str = Field("", max_length=60, description="The provider's name.")
    key: str = Field("", max_length=60, description="A gateway key's id.")
    status: str = Field("", max_length=10, description="A status (404), a class (4xx), or `error` for 400 and more.")
    since: str = Field("", max_length=60, alias="from", description="RFC 3339 time or date, included.")
    until: str = Field("", max_length=60, alias="to", description="RFC 3339 time or date, not included.")
    cache: str = Field("", max_length=10, description="miss, hit, semantic or off.")
    complexity: str = Field("", max_length=10, description="simple, moderate, complex or expert.")
    q: str = Field("", max_length=200, description="A request's id, or the one its client sent as x-request-id.")

    def filters(self) -> queries.Filters:
        """Raises InvalidRequest naming the parameter that makes no sense."""
        for name in ("model", "provider", "cache", "complexity", "q"):
            if "\0" in getattr(self, name):
                raise InvalidRequest(f"{name}: must hold no NUL.", param=name)
        since, until = _moment("from", self.since), _moment("to", self.until)
        if since and until and since > until:
            raise InvalidRequest("from: must not be after to.", param="from")
        return queries.Filters(
            model=self.model,
            provider=self.provider,
            key=_key(self.key),
            status=_status(self.status),
            since=since,
            until=until,
            cache=self.cache,
            complexity=self.complexity,
            id=self.q,
        )


def _moment(name: str, text: str) -> datetime | None:
    """A time, in UTC where it does not say otherwise."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(_LOST_PLUS.sub("+", text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name}: must be an RFC 3339 time such as 2027-01-31T00:00:00Z, or a date.", param=name
        ) from None


def _key(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise InvalidRequest("key: must be a gateway key's id.", param="key") from None


def _status(text: str) -> Q | None:
    if not text:
        return None
    if text == "error":
        return queries.FAILED
    if _CLASS.fullmatch(text):
        return Q(status__gte=int(text[0]) * 100, status__lt=int(text[0]) * 100 + 100)
    if _CODE.fullmatch(text):
        return Q(status=int(text))
    raise InvalidRequest("status: must be a status such as 404, a class such as 4xx, or error.", param="status")


class RequestRow(Schema):
    """A request, as lists show it. `attempts` counts how often a provider was asked; `error` is there on failures."""

    id: UUID
    created_at: datetime
    status: int
    provider: str
    model: str
    key_id: UUID | None
    stream: bool
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_usd: str
    latency_ms: int
    ttft_ms: int | None
    cache: str
    complexity: str
    privacy: str
    attempts: int
    error: str | None = None


class Attempt(Schema):
    """One try at one provider. `status` is None when it never answered.

    Tokens and cost are there where it was billed although another one's answer was taken: it lost a race.
    """

    provider: str
    model: str
    status: int | None
    error: str
    ms: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: str | None = None


class CostLine(Schema):
    """Tokens of one sort at one rate."""

    label: str
    tokens: int
    usd_per_mtok: str
    cost_usd: str


class RequestDetail(RequestRow):
    """All that the ledger knows of a request."""

    attempts: list[Attempt]  # type: ignore[assignment]
    endpoint: str
    requested_model: str
    provider_kind: str
    policy: str
    policy_version: int | None
    complexity_score: float | None
    task: str | None
    user_id: UUID | None
    client_request_id: str
    error_code: str
    usage_estimated: bool
    saved_usd: str
    price: dict[str, Any]
    cost_lines: list[CostLine]
    metadata: dict[str, Any]


@router.get("/requests", response=ListOf[RequestRow], exclude_unset=True, summary="List requests, newest first")
def list_requests(request: ApiRequest, filters: Query[RequestsQuery]) -> dict[str, Any]:
    rows = queries.records(request.auth, filters.filters())
    return paginate(rows, limit=filters.limit, cursor=filters.cursor).shown(_row)


@router.get("/requests/{request_id}", response=RequestDetail, exclude_unset=True, summary="Show a request")
def show_request(request: ApiRequest, request_id: str) -> dict[str, Any]:
    """`request_id` is the answer's `x-request-id`. A record is there within a second of its answer's end."""
    record = get_or_404(UsageRecord.objects.all(), request.auth, request_id)
    own = ("endpoint", "requested_model", "provider_kind", "user_id", "client_request_id", "error_code")
    kept = ("attempts", "usage_estimated", "price", "metadata")
    decided = ("policy", "policy_version", "complexity_score", "task")
    return {
        **_row(record),
        **{name: getattr(record, name) for name in (*own, *decided, *kept)},
        "saved_usd": as_text(record.saved_usd),
        "cost_lines": [
            {
                "label": line.label,
                "tokens": line.tokens,
                "usd_per_mtok": as_text(line.per_million),
                "cost_usd": as_text(line.cost),
            }
            for line in queries.cost_lines(record)
        ],
    }


_PLAIN = [name for name in RequestRow.model_fields if name not in ("cost_usd", "attempts", "error")]


def _row(record: UsageRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _PLAIN}
    row |= {"cost_usd": as_text(record.cost_usd), "attempts": len(record.attempts)}
    return row | {"error": record.error or record.error_code} if record.error or record.error_code else row
