"""What the analytics API shows. Money is USD, a decimal as text; definitions stand at the fields."""

from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from ninja import Field, Schema
from pydantic import ConfigDict

from accounts.access import Action, Caller
from analytics import content, queries, sums
from analytics.models import UsageRecord
from analytics.period import Period
from gateway_project.lib.pagination import ListOf
from gateway_project.lib.schemas import money

# --- Sums ----------------------------------------------------------------------------------------

_SUMS: dict[str, Any] = {
    "requests": 1204, "errors": 9, "streams": 800, "estimated": 3, "unpriced": 0, "prompt_tokens": 1810400,
    "cached_tokens": 90112, "completion_tokens": 402115, "reasoning_tokens": 51200, "total_tokens": 2212515,
    "cost_usd": "6.218341", "saved_usd": "0.40211", "cache_hits": 70, "cache_asked": 610, "local": 400,
    "latency_ms": {"mean": 911, "p50": 780, "p95": 2630}, "ttft_ms": 312,
}  # fmt: skip
_PERIOD: dict[str, Any] = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}


class Latency(Schema):
    """From a request's last byte to its answer's last byte, over answered requests; null without any."""

    mean: int | None = Field(description="Exact, in ms.")
    p50: int | None = Field(None, description="The median in ms, off by 10% at most: read from a histogram.")
    p95: int | None = Field(None, description="What 95% do not exceed, in ms, off by 10% at most.")


class SumsOut(Schema):
    """Sums over requests, exact to the last decimal but for the two percentiles."""

    requests: int = Field(description="All that were taken in, refused and failed ones included.")
    errors: int = Field(description="Those with a status of 400 or more; 499 is a client that left.")
    streams: int = Field(description="Those whose answer was asked for as a stream.")
    estimated: int = Field(description="Those whose tokens the gateway counted, as no provider did.")
    unpriced: int = Field(description="Those that cost something that nobody knows; `cost_usd` is without them.")
    prompt_tokens: int
    cached_tokens: int = Field(description="Of the prompts' tokens, those that a provider read from its cache.")
    completion_tokens: int
    reasoning_tokens: int = Field(description="Of the completions' tokens, those that are not shown.")
    total_tokens: int = Field(description="`prompt_tokens` and `completion_tokens`.")
    cost_usd: str
    saved_usd: str = Field(description="What the gateway's cache made it cost less.")
    cache_hits: int = Field(description="Those that the gateway's cache answered.")
    cache_asked: int = Field(description="Those that the gateway's cache was asked for: hits and misses.")
    local: int = Field(description="Those that went to a local model.")
    latency_ms: Latency
    ttft_ms: int | None = Field(description="The mean time to an answer's first byte, where it has one.")


class DayOut(SumsOut):
    day: date = Field(description="UTC.")


class OverviewOut(SumsOut):
    """What a period came to, and each of its days."""

    since: datetime = Field(alias="from", description="Included.")
    until: datetime | None = Field(alias="to", description="Not included; null: up to now.")
    error_rate: float = Field(description="`errors` of `requests`, 0 to 1.")
    cache_hit_rate: float = Field(description="`cache_hits` of `cache_asked`, 0 to 1.")
    days: list[DayOut] = Field(description="Oldest first, days without requests included.")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_PERIOD, "error_rate": 0.0075, "cache_hit_rate": 0.1148, **_SUMS,
                "days": [{"day": "2026-11-01", **_SUMS}],
            }
        }
    )  # fmt: skip


class GroupOut(SumsOut):
    """The requests that have something in common."""

    group: str | None = Field(
        description="The model, provider, policy or day, or the key's or member's id. Null: no model was asked, no key "
        "was used (the console), no policy of the workspace ruled."
    )
    name: str | None = Field(description="What people call it; null for a key or a member that is gone.")
    cost_share: float = Field(description="Of the total's cost, 0 to 1.")


class BreakdownOut(ListOf[GroupOut]):
    """The groups by cost, the dearest first; days by the calendar."""

    group_by: str
    since: datetime = Field(alias="from")
    until: datetime | None = Field(alias="to")
    total: SumsOut = Field(description="Of all groups, on every page.")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "group_by": "model", **_PERIOD, "total": _SUMS, "next_cursor": None,
                "data": [{"group": "gpt-5-mini", "name": "gpt-5-mini", "cost_share": 1.0, **_SUMS}],
            }
        }
    )  # fmt: skip


class TargetOut(SumsOut):
    """The requests that one model of one provider was asked for; both null: nothing was asked."""

    provider: str | None
    model: str | None
    request_share: float = Field(description="Of the total's requests, 0 to 1.")
    cost_share: float = Field(description="Of the total's cost, 0 to 1.")


class DistributionOut(ListOf[TargetOut]):
    """Where requests went, the most first."""

    since: datetime = Field(alias="from")
    until: datetime | None = Field(alias="to")
    total: SumsOut = Field(description="Of all targets, on every page.")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_PERIOD, "total": _SUMS, "next_cursor": None,
                "data": [
                    {"provider": "openai", "model": "gpt-5-mini", "request_share": 1.0, "cost_share": 1.0, **_SUMS}
                ],
            }
        }
    )  # fmt: skip


def show_period(period: Period) -> dict[str, Any]:
    return {"from": period.since, "to": period.until}


def show_sums(group: sums.Group) -> dict[str, Any]:
    """What `group` comes to, as the API shows it."""
    found = group.sums
    plain = {name: getattr(found, name) for name in SumsOut.model_fields if hasattr(found, name)}
    return plain | {
        "total_tokens": found.tokens,
        "cost_usd": money(found.cost_usd),
        "saved_usd": money(found.saved_usd),
        "latency_ms": {"mean": found.mean_ms, "p50": group.p50_ms, "p95": group.p95_ms},
        "ttft_ms": found.mean_ttft_ms,
    }


def share(part: float | Decimal, whole: float | Decimal) -> float:
    """`part` of `whole`, 0 to 1, to six places; of nothing, none."""
    return round(float(part) / float(whole), 6) if whole else 0.0


# --- Requests ------------------------------------------------------------------------------------


class RequestRow(Schema):
    """A request, as lists show it. `attempts` counts how often a provider was asked; `error` is there on failures."""

    id: UUID
    created_at: datetime
    status: int = Field(description="HTTP; 499: the client left.")
    provider: str
    model: str
    key_id: UUID | None
    user_id: UUID | None
    stream: bool
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    usage_estimated: bool = Field(
        description="Whether the gateway counted the tokens, as no provider did, or said what no model can use."
    )
    cost_usd: str
    unpriced: bool = Field(description="Whether it cost something that nobody knows; `cost_usd` is 0 then.")
    saved_usd: str = Field(description="What the gateway's cache made it cost less.")
    latency_ms: int
    ttft_ms: int | None
    cache: str = Field(description="miss, hit, semantic or off.")
    complexity: str
    privacy: str = Field(description="local or cloud: where the answer was made.")
    policy: str
    attempts: int
    replay_of: UUID | None = Field(description="The request whose answer an Idempotency-Key had given again.")
    error: str | None = None


class Attempt(Schema):
    """One try at one provider. `status` is None when it never answered.

    Tokens and cost are there where it is billed although its answer was not taken: it lost a race, or came too late.
    """

    provider: str
    model: str
    status: int | None
    error: str
    ms: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usage_estimated: bool | None = None
    cost_usd: str | None = None


class ConsideredOut(Schema):
    """A model that the gateway weighed for the request."""

    model: str
    provider: str
    score: float | None = Field(description="0 to 1, what the policy's weights and failures came to; higher is better.")
    excluded_because: str | None = Field(None, description="There where it could not be chosen.")


class CostLineOut(Schema):
    """Tokens of one sort at one rate."""

    label: str
    tokens: int
    usd_per_mtok: str
    cost_usd: str


class DocumentUsed(Schema):
    """A document that the model was shown passages of; without title and library where it is deleted."""

    id: UUID
    title: str | None
    library_id: UUID | None


class GroundingOut(Schema):
    """What a request with `rag` was answered from."""

    library: str = Field(description="Its name at that time.")
    passages: int
    mode: str = Field(description="hybrid, vector or text: how they were searched for.")
    documents: list[DocumentUsed]


class ContentOut(Schema):
    """What was asked and answered; `note` says why something of it is not there."""

    request: dict[str, Any] | None
    answer: Any = Field(description="The answer's JSON; null of a stream, and where there was none.")
    text: str = Field(description="What the model wrote.")
    note: str


class RequestDetail(RequestRow):
    """All that the ledger knows of a request."""

    candidates: list[ConsideredOut] = Field(
        description="At most twelve of those that the gateway chose among: in the order in which they stood to be "
        "asked, then those that were left out. Empty where there was nothing to choose: the request named its target, "
        "or the cache answered."
    )
    attempts: list[Attempt]  # type: ignore[assignment]
    endpoint: str
    requested_model: str
    provider_kind: str
    policy_version: int | None
    complexity_score: float | None
    task: str | None
    client_request_id: str
    error_code: str
    price: dict[str, Any]
    cost_lines: list[CostLineOut] = Field(description="What `cost_usd` adds up from, to the last decimal.")
    metadata: dict[str, Any]
    grounding: GroundingOut | None = Field(description="Null where no documents were searched.")
    content: ContentOut | None = Field(
        description="For members and up, where the workspace keeps prompts and answers (`store_content`)."
    )


_DERIVED = ("cost_usd", "saved_usd", "unpriced", "attempts", "error")
PLAIN = [name for name in RequestRow.model_fields if name not in _DERIVED]
_MADE = ("candidates", "cost_lines", "content", "grounding")
DETAILS = [name for name in RequestDetail.model_fields if name not in (*RequestRow.model_fields, *_MADE)]


def show_row(record: UsageRecord) -> dict[str, Any]:
    """`record` as lists show it."""
    row = {name: getattr(record, name) for name in PLAIN}
    row |= {"cost_usd": money(record.cost_usd), "saved_usd": money(record.saved_usd)}
    row |= {"unpriced": queries.is_unpriced(record), "attempts": queries.asked(record)}
    return row | {"error": record.error or record.error_code} if record.error or record.error_code else row


def _shown(each: queries.Considered) -> dict[str, Any]:
    shown: dict[str, Any] = {"model": each.model, "provider": each.provider, "score": each.score}
    return shown | {"excluded_because": each.excluded_because} if each.excluded_because else shown


def show_request(caller: Caller, record: UsageRecord) -> dict[str, Any]:
    """The whole of `record`, as far as `caller` may read it."""
    kept = content.of(record, caller.workspace) if caller.may(Action.READ_CONTENT) else None
    lines = [
        {
            "label": line.label,
            "tokens": line.tokens,
            "usd_per_mtok": money(line.per_million),
            "cost_usd": money(line.cost),
        }
        for line in queries.cost_lines(record)
    ]
    return {
        **show_row(record),
        "content": None if kept is None else asdict(kept),
        "grounding": queries.grounding(caller, record),
        **{name: getattr(record, name) for name in DETAILS},
        "attempts": record.attempts,
        "candidates": [_shown(each) for each in queries.candidates(record)],
        "cost_lines": lines,
    }
