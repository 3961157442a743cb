"""Reads of the ledger's records, for the API and the console. Every one is scoped to the caller's workspace.

Lists begin their scan in an index and stop at the page's end. What records come to is in `sums`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Q, QuerySet

from accounts.access import Caller, get_or_404, parse_id, scoped
from accounts.models import User
from analytics import partitions
from analytics.models import NOT_ASKED, DailyTotal, UsageRecord

MILLION = 1_000_000
FAILED = Q(status__gte=400)


# --- Lists ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which requests a list shows; a field that is None or "" lets all of them pass.

    `since` is included, `until` is not. `status` is a condition on the field of that name. `id` is a request's own
    id, or the one that its client gave it. `model_like` is a part of the model's name, the one that was asked for or
    the one that answered.
    """

    model: str = ""
    provider: str = ""
    key: UUID | None = None
    user: UUID | None = None
    policy: str = ""
    privacy: str = ""
    cache: str = ""
    complexity: str = ""
    status: Q | None = None
    stream: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    id: str = ""
    model_like: str = ""

    @property
    def dimensions(self) -> dict[str, Any]:
        """What records and rollups have in common: the columns that are filtered by, with their values."""
        equal = {"model": self.model, "provider": self.provider, "key_id": self.key, "user_id": self.user}
        equal |= {"policy": self.policy, "privacy": self.privacy, "cache": self.cache, "complexity": self.complexity}
        return {column: value for column, value in equal.items() if value}


def records(caller: Caller, filters: Filters | None = None) -> QuerySet[UsageRecord]:
    """The workspace's requests that pass `filters`, in no order."""
    # No list shows what is the longest column of many.
    rows = scoped(UsageRecord.objects.defer("candidates"), caller)
    if filters is None:
        return rows
    rows = rows.filter(**filters.dimensions)
    if filters.since:
        rows = rows.filter(created_at__gte=filters.since)
    if filters.until:
        rows = rows.filter(created_at__lt=filters.until)
    if filters.status is not None:
        rows = rows.filter(filters.status)
    if filters.stream is not None:
        rows = rows.filter(stream=filters.stream)
    if filters.model_like:
        part = filters.model_like
        rows = rows.filter(Q(model__icontains=part) | Q(requested_model__icontains=part))
    return rows.filter(_is_called(filters.id)) if filters.id else rows


def _is_called(id: str) -> Q:
    by_client = Q(client_request_id=id)
    try:
        return Q(pk=UUID(id)) | by_client
    except ValueError:
        return by_client


def request(caller: Caller, id: str) -> UsageRecord:
    """The workspace's request with this id. Raises NotFound.

    Ids tell when their request arrived, so that as a rule one month of the ledger is looked into, not all of them.
    """
    rows = UsageRecord.objects.all()
    around = partitions.near(parse_id(id))
    found = scoped(rows, caller).filter(pk=id, created_at__range=around).first() if around else None
    return found or get_or_404(rows, caller, id)


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


def member_names(caller: Caller, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Names of those of the workspace's members, by id; the address of one without a name."""
    wanted = {id for id in ids if id}
    members = User.objects.filter(pk__in=wanted, memberships__workspace=caller.workspace)
    return {user.pk: user.name or user.email for user in members}


def newest_member_names(caller: Caller, limit: int) -> dict[UUID, str]:
    """Names of the workspace's newest members, by id; the address of one without a name."""
    members = User.objects.filter(memberships__workspace=caller.workspace).order_by("-memberships__created_at")
    return {user.pk: user.name or user.email for user in members[:limit]}


def documents(caller: Caller, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Each document with its title and its library's id, in the order of `ids`; null both of one that is deleted."""
    wanted = list(ids)
    if not wanted:
        return []
    # Asked of the model by name, since `analytics` does not import `rag`.
    rows = scoped(apps.get_model("rag", "Document")._default_manager.all(), caller)
    found = {
        str(pk): (title, library)
        for pk, title, library in rows.filter(pk__in=wanted).values_list("pk", "title", "library_id")
    }
    named = [(id, *found.get(id, (None, None))) for id in wanted]
    return [{"id": id, "title": title, "library_id": library} for id, title, library in named]


def used(caller: Caller, since: date) -> dict[str, list[str]]:
    """The models, providers and policies of the requests since that day (UTC), by column, in order of their names."""
    columns = ("model", "provider", "policy")
    rows = scoped(DailyTotal.objects.filter(day__gte=since), caller).values_list(*columns).distinct()
    found = zip(columns, zip(*rows, strict=True), strict=True) if rows else ()
    return {key: [] for key in columns} | {
        column: sorted({value for value in values if value}) for column, values in found
    }


def group_names(caller: Caller, by: str, values: Sequence[Any]) -> dict[Any, str]:
    """What people call the groups of `sums.GROUPINGS[by]`; a key or a member that is gone has no name."""
    if by == "key":
        return key_names(caller, values)
    if by == "user":
        return member_names(caller, values)
    return {value: str(value) for value in values if value}


# --- One request ---------------------------------------------------------------------------------


def grounding(caller: Caller, record: UsageRecord) -> dict[str, Any] | None:
    """What the record says of the documents that it was answered from, with their titles as they are now."""
    used: dict[str, Any] | None = record.grounding
    return used and used | {"documents": documents(caller, used["documents"])}


@dataclass(frozen=True, slots=True)
class Considered:
    """A target that the gateway weighed for a request: its score, or why it was left out."""

    provider: str
    model: str
    score: float | None
    excluded_because: str


def candidates(record: UsageRecord) -> list[Considered]:
    """Who stood to be asked, in order, then who did not; empty where there was nothing to choose."""
    found = []
    for id_, told in record.candidates or ():
        provider, _, model = id_.partition("/")
        because = told if isinstance(told, str) else ""
        found.append(Considered(provider, model, None if because else round(told, 4), because))
    return found


def asked(record: UsageRecord) -> int:
    """How often a provider was asked, as the answer's `x-gateway-attempts` said."""
    return sum(1 for attempt in record.attempts if not str(attempt.get("error") or "").startswith(NOT_ASKED))


def is_unpriced(record: UsageRecord) -> bool:
    """Whether its tokens cost something that nobody knows, so that its cost is zero; as `rollups.MEASURES` counts."""
    return not record.cost_usd and record.prompt_tokens > 0 and record.price.get("source") == "unknown"


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
    """What calls cost whose answers were not taken, since another target was faster, or they came too late."""
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
