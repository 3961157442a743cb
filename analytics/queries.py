"""Reads of the ledger, for the API and the console. Every one is scoped to the caller's workspace.

Lists begin their scan in an index and stop at the page's end; sums cost what the rows of their period cost.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Aggregate, Count, IntegerField, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.access import Caller, scoped
from analytics.models import UsageRecord

MILLION = 1_000_000
FAILED = Q(status__gte=400)
# Tokens whose price nobody knows count as zero in a sum, which is then the least that it can be.
UNPRICED = Q(cost_usd=0) & Q(prompt_tokens__gt=0) & Q(price__source="unknown")


# --- Lists ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which requests a list shows; a field that is None or "" lets all of them pass.

    `since` is included, `until` is not. `status` is a condition on the field of that name. `id` is a request's own
    id, or the one that its client gave it.
    """

    model: str = ""
    provider: str = ""
    key: UUID | None = None
    status: Q | None = None
    since: datetime | None = None
    until: datetime | None = None
    cache: str = ""
    complexity: str = ""
    id: str = ""


def records(caller: Caller, filters: Filters | None = None) -> QuerySet[UsageRecord]:
    """The workspace's requests that pass `filters`, in no order."""
    rows = scoped(UsageRecord.objects.all(), caller)
    if filters is None:
        return rows
    equal: dict[str, Any] = {"model": filters.model, "provider": filters.provider, "key_id": filters.key}
    equal |= {"cache": filters.cache, "complexity": filters.complexity}
    equal |= {"created_at__gte": filters.since, "created_at__lt": filters.until}
    rows = rows.filter(**{name: value for name, value in equal.items() if value})
    if filters.status is not None:
        rows = rows.filter(filters.status)
    return rows.filter(_is_called(filters.id)) if filters.id else rows


def _is_called(id: str) -> Q:
    by_client = Q(client_request_id=id)
    try:
        return Q(pk=UUID(id)) | by_client
    except ValueError:
        return by_client


def latest(caller: Caller, limit: int) -> list[UsageRecord]:
    """The newest requests."""
    return list(records(caller).order_by("-created_at", "-id")[:limit])


def key_names(caller: Caller, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Names of those of the workspace's gateway keys, revoked ones included, by id."""
    return dict(_keys(caller).filter(pk__in={id for id in ids if id}).values_list("id", "name"))


def newest_key_names(caller: Caller, limit: int) -> dict[UUID, str]:
    """Names of the workspace's newest gateway keys, by id."""
    return dict(_keys(caller).order_by("-created_at")[:limit].values_list("id", "name"))


def _keys(caller: Caller) -> QuerySet[Any]:
    """The workspace's gateway keys, asked of the model by name, since `analytics` does not import `keys`."""
    return scoped(apps.get_model("keys", "GatewayKey")._default_manager.all(), caller)


# --- Sums ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened in a period. Latencies are those of answered requests, in ms; None when there were none.

    `cost_usd` is without the `unpriced` requests, which cost something that nobody knows.
    """

    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    unpriced: int
    p50_ms: int | None
    p95_ms: int | None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on a day (UTC); `cost_usd` and `unpriced` as in `Summary`."""

    day: date
    requests: int
    errors: int
    tokens: int
    cost_usd: Decimal
    unpriced: int


class _Percentile(Aggregate):
    """The value that `share` of the rows do not exceed."""

    function = "percentile_disc"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, field: str, share: float, **extra: Any) -> None:
        super().__init__(field, share=share, output_field=IntegerField(), **extra)


def summary(caller: Caller, since: datetime, until: datetime) -> Summary:
    """Requests that arrived from `since` to before `until`; a status of 400 or more is an error."""
    sums = records(caller, Filters(since=since, until=until)).aggregate(
        requests=Count("id"),
        errors=Count("id", filter=FAILED),
        # Before the sums, whose names are those of columns that it reads.
        unpriced=Count("id", filter=UNPRICED),
        prompt_tokens=Sum("prompt_tokens", default=0),
        completion_tokens=Sum("completion_tokens", default=0),
        cost_usd=Sum("cost_usd", default=Decimal(0)),
        p50_ms=_Percentile("latency_ms", 0.5, filter=~FAILED),
        p95_ms=_Percentile("latency_ms", 0.95, filter=~FAILED),
    )
    return Summary(**sums)


def per_day(caller: Caller, since: datetime, until: datetime) -> list[Day]:
    """The same by day, oldest first, days without requests included. `since` and `until` as in `summary`."""
    sums = {
        row["day"]: row
        for row in records(caller, Filters(since=since, until=until))
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values("day")
        .annotate(
            requests=Count("id"),
            errors=Count("id", filter=FAILED),
            unpriced=Count("id", filter=UNPRICED),
            tokens=Sum("prompt_tokens") + Sum("completion_tokens"),
            cost_usd=Sum("cost_usd"),
        )
    }
    first, last = since.astimezone(UTC).date(), (until - timedelta(microseconds=1)).astimezone(UTC).date()
    days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    return [Day(**sums[day]) if day in sums else Day(day, 0, 0, 0, Decimal(0), 0) for day in days]


# --- One request ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CostLine:
    """Tokens of one sort at one rate. `per_million` and `cost` are USD."""

    label: str
    tokens: int
    per_million: Decimal
    cost: Decimal


def cost_lines(record: UsageRecord) -> list[CostLine]:
    """How the record's cost adds up, from the rates that were stored with it; empty without rates."""
    price = record.price
    if "input" not in price or "reported_usd" in price:
        return _lost(record)
    counts = {name: int(price.get(f"{name}_tokens", 0)) for name in _COUNTED}
    rate = _rates(price)
    write = counts["cache_write"] - counts["cache_write_1h"]
    fresh = record.prompt_tokens - record.cached_tokens - counts["cache_write"] - counts["audio_prompt"]
    plain = record.completion_tokens - record.reasoning_tokens - counts["audio_completion"]
    lines = (
        ("Prompt", fresh, rate["input"]),
        ("Prompt, from the cache", record.cached_tokens, rate["cached_input"]),
        ("Prompt, written to the cache", write, rate["cache_write"]),
        ("Prompt, written to the cache for an hour", counts["cache_write_1h"], rate["cache_write_1h"]),
        ("Prompt, audio", counts["audio_prompt"], rate["audio_input"]),
        ("Completion", plain, rate["output"]),
        ("Completion, reasoning", record.reasoning_tokens, rate["reasoning"]),
        ("Completion, audio", counts["audio_completion"], rate["audio_output"]),
    )
    taken = [CostLine(label, tokens, usd * MILLION, usd * tokens) for label, tokens, usd in lines if tokens]
    return taken + _lost(record)


def _lost(record: UsageRecord) -> list[CostLine]:
    """What calls cost whose answers were not taken, since another target was faster."""
    lines = []
    for attempt in record.attempts:
        cost = Decimal(attempt.get("cost_usd", 0))
        if cost:
            tokens = attempt["prompt_tokens"] + attempt["completion_tokens"]
            label = f"Not taken, from {attempt['provider']}/{attempt['model']}"
            lines.append(CostLine(label, tokens, cost / tokens * MILLION if tokens else Decimal(0), cost))
    return lines


_COUNTED = ("cache_write", "cache_write_1h", "audio_prompt", "audio_completion")
# A rate that is not stored is the one it falls back to (`pricing.record` leaves repetitions out).
_FALLBACK = {
    "cached_input": "input", "cache_write": "input", "cache_write_1h": "cache_write",
    "reasoning": "output", "audio_input": "input", "audio_output": "output",
}  # fmt: skip


def _rates(price: dict[str, str]) -> dict[str, Decimal]:
    rates = {"input": Decimal(price["input"]), "output": Decimal(price["output"])}
    for name, base in _FALLBACK.items():
        rates[name] = Decimal(price[name]) if name in price else rates[base]
    return rates
