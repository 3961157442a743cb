"""Enters a finished request in the ledger and the metrics, exactly once. Synchronous, so that no cancel stops it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from analytics import ledger, metrics, pricing
from analytics.amounts import PICO_PER_USD, pico_text
from analytics.usage import Usage
from keys.limits import pico
from routing import cache, signals
from routing.content import sealed
from routing.exchange import Exchange
from routing.flight import Flight
from routing.limits.estimate import used
from routing.providers.base import Target
from routing.snapshot import Caller

NOTHING = Usage()
# What `meter` enters for a stream that did not come to its end.
UPSTREAM_BROKE_OFF = 502


def settle(exchange: Exchange) -> None:
    """Price the exchange and append its record to the spool. A second call does nothing.

    A request without a caller has no workspace to be entered in; it is counted in the metrics alone.
    """
    if exchange.settled:
        return
    exchange.settled = True
    if exchange.flight is not None:
        _land(exchange.flight, exchange)
    now = time.perf_counter()
    target, caller, from_cache = exchange.target, exchange.caller, exchange.from_cache
    # In picodollars; `cost` is with what answers cost that were not taken, and are billed all the same.
    cost = answer_cost = 0
    price: dict[str, Any] | None = None
    if target is not None and not from_cache:
        answer_cost, price = pricing.charge(target.facts.price, exchange.usage or NOTHING)
        cost = answer_cost
        for attempt in exchange.attempts:
            if attempt.cost:
                cost += pico(attempt.cost)
        exchange.cost = pico_text(cost)
    if exchange.permit is not None:
        exchange.permit.settle(0 if from_cache else used(exchange))
    if exchange.hold is not None:
        # Before the record is entered: from then on the ledger may have it at any moment.
        exchange.hold.settle(cost)
    cache.current.settle(exchange, answer_cost)
    if caller is not None:
        ledger.enter(_record(exchange, caller, price, now), sealed(exchange) if caller.content_kept else None)
    metrics.request(
        endpoint=exchange.endpoint.public_path,
        kind=target.kind.id if target else "none",
        model=target.model if target else "none",
        known_model=target is not None and _of(target).in_map,
        status=exchange.status,
        seconds=now - exchange.started,
        cost=cost / PICO_PER_USD,
    )


def _record(exchange: Exchange, caller: Caller, price: dict[str, Any] | None, now: float) -> dict[str, Any]:
    """The exchange's columns of `UsageRecord`, but for those whose default says it (`ledger.DEFAULTS`, or null)."""
    record: dict[str, Any] = {
        "id": exchange.id,
        "workspace_id": caller.workspace_id,
        "created_at": datetime.fromtimestamp(exchange.arrived, UTC),
        "key_id": caller.id or None,
        "user_id": caller.user_id or None,
        "endpoint": exchange.endpoint.public_path,
        "requested_model": _clean(exchange.model, 300),
        "cache": exchange.cache_state,
        "status": exchange.status,
        "latency_ms": round((now - exchange.started) * 1000),
    }
    target, label, usage, policy = exchange.target, exchange.label, exchange.usage, exchange.policy
    if target is not None:
        record |= _of(target).columns
    elif exchange.replay_of:
        provider, model, locality = exchange.replayed_from
        record |= {"provider": _clean(provider, 60), "model": _clean(model, 300), "privacy": locality}
    if price is not None:
        record["price"], record["cost_usd"] = price, exchange.cost
    if exchange.replay_of:
        record["replay_of"] = exchange.replay_of
    if exchange.client_request_id:
        record["client_request_id"] = exchange.client_request_id
    if exchange.stream:
        record["stream"] = True
    if label is not None:
        record["complexity"], record["task"] = label.complexity, label.task
        record["complexity_score"] = round(label.score * 10_000) / 10_000
    if policy.id:
        record["policy"], record["policy_version"] = policy.name, policy.version
    if exchange.decision is not None and exchange.decision.told is not None:
        record["candidates"] = exchange.decision.told
    if exchange.error_code or exchange.error:
        record["error_code"], record["error"] = _clean(exchange.error_code, 60), _clean(exchange.error, 500)
    if exchange.attempts or exchange.passed_over:
        record["attempts"] = [attempt.summary() for attempt in exchange.turns]
    if usage is not None:
        record["prompt_tokens"], record["completion_tokens"] = usage.prompt, usage.completion
        if usage.cached:
            record["cached_tokens"] = usage.cached
        if usage.reasoning:
            record["reasoning_tokens"] = usage.reasoning
        if usage.estimated:
            record["usage_estimated"] = True
    if exchange.saved:
        record["saved_usd"] = pico_text(exchange.saved)
    if exchange.first_byte is not None:
        record["ttft_ms"] = round((exchange.first_byte - exchange.started) * 1000)
    if exchange.wishes.metadata:
        record["metadata"] = exchange.wishes.metadata
    if exchange.grounding is not None:
        record["grounding"] = exchange.grounding.record()
    if evidence := signals.found(exchange):
        record["evidence"] = evidence
    return record


@dataclass(frozen=True, slots=True)
class _Answerer:
    """What is told of a target with each request: the columns that say who answered, and if the price map has it."""

    columns: dict[str, str]
    in_map: bool


def _of(target: Target) -> _Answerer:
    """Made once for each target."""
    told: _Answerer | None = target.prepared.get("answerer")
    if told is None:
        columns = {
            "provider": _clean(target.provider, 60),
            "provider_kind": target.kind.id,
            "model": _clean(target.model, 300),
            "privacy": "local" if target.local else "cloud",
        }
        in_map = pricing.price_for(target.kind.id, target.model, False).from_map
        told = target.prepared["answerer"] = _Answerer(columns, in_map)
    return told


def _land(flight: Flight, exchange: Exchange) -> None:
    """Tell the target's health how the answer that was taken ended."""
    if exchange.status == 200:
        flight.completed(exchange.usage.completion if exchange.usage is not None else 0)
    elif exchange.status == UPSTREAM_BROKE_OFF:
        flight.broke_off(exchange.error)
    else:
        flight.given_up()


def _clean(text: str, limit: int) -> str:
    """`text` as Postgres can keep it: no NUL, and not too long."""
    return (text.replace("\0", "") if "\0" in text else text)[:limit]
