"""Reads behind the console's pages about requests. Every one is scoped to the caller's workspace."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.apps import apps
from django.db.models import Count, Q, QuerySet, Sum

from accounts.access import Caller, scoped
from analytics.models import UsageRecord

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened in a period."""

    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class CostLine:
    """Tokens of one sort at one rate. `per_million` and `cost` are USD."""

    label: str
    tokens: int
    per_million: Decimal
    cost: Decimal


def summary(caller: Caller, since: datetime, until: datetime) -> Summary:
    """Requests that arrived from `since` to before `until`; a status of 400 or more is an error."""
    rows = scoped(UsageRecord.objects.filter(created_at__gte=since, created_at__lt=until), caller)
    sums = rows.aggregate(
        requests=Count("id"),
        errors=Count("id", filter=Q(status__gte=400)),
        prompt_tokens=Sum("prompt_tokens", default=0),
        completion_tokens=Sum("completion_tokens", default=0),
        cost_usd=Sum("cost_usd", default=Decimal(0)),
    )
    return Summary(**sums)


def records(caller: Caller) -> QuerySet[UsageRecord]:
    return scoped(UsageRecord.objects.all(), caller)


def latest(caller: Caller, limit: int) -> list[UsageRecord]:
    """The newest requests."""
    return list(records(caller).order_by("-created_at", "-id")[:limit])


def key_names(caller: Caller, ids: Iterable[UUID | None] | None = None) -> dict[UUID, str]:
    """Names of the workspace's gateway keys by id, revoked ones included: those of `ids`, or all.

    Asked of the model by name, since `analytics` does not import `keys`.
    """
    keys = scoped(apps.get_model("keys", "GatewayKey")._default_manager.all(), caller)
    if ids is not None:
        keys = keys.filter(pk__in={id for id in ids if id})
    return dict(keys.order_by("name").values_list("id", "name"))


def cost_lines(record: UsageRecord) -> list[CostLine]:
    """How the record's cost adds up, from the rates that were stored with it; empty without rates."""
    price = record.price
    if "input" not in price or "reported_usd" in price:
        return []
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
    return [CostLine(label, tokens, usd * MILLION, usd * tokens) for label, tokens, usd in lines if tokens]


_COUNTED = ("cache_write", "cache_write_1h", "audio_prompt", "audio_completion")
# A rate that is not stored is the one it falls back to (analytics/pricing.py leaves repetitions out).
_FALLBACK = {
    "output": "input", "cached_input": "input", "cache_write": "input", "cache_write_1h": "cache_write",
    "reasoning": "output", "audio_input": "input", "audio_output": "output",
}  # fmt: skip


def _rates(price: dict[str, str]) -> dict[str, Decimal]:
    rates = {"input": Decimal(price["input"])}
    for name, base in _FALLBACK.items():
        rates[name] = Decimal(price[name]) if name in price else rates[base]
    return rates
