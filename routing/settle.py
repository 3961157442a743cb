"""Enters a finished request in the ledger and the metrics, exactly once. Synchronous, so that no cancel stops it."""

import time
from datetime import UTC, datetime
from decimal import Decimal

from analytics import ledger, metrics, pricing
from analytics.usage import Usage
from routing import cache, signals
from routing.content import sealed
from routing.exchange import Exchange
from routing.flight import Flight
from routing.limits.estimate import used

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
    target, usage = exchange.target, exchange.usage or NOTHING
    cost = answer_cost = Decimal(0)
    price: pricing.Price | None = None
    if target is not None and not exchange.from_cache:
        price = target.facts.price
        answer_cost = pricing.cost(price, usage)
        cost = answer_cost
        for attempt in exchange.attempts:
            if attempt.cost:  # its answer was not taken, and it is billed all the same
                cost += attempt.cost
        exchange.cost = f"{cost:f}"
    if exchange.permit is not None:
        exchange.permit.settle(0 if exchange.from_cache else used(exchange))
    if exchange.hold is not None:
        # Before the record is entered: from then on the ledger may have it at any moment.
        exchange.hold.settle(cost)
    cache.current.settle(exchange, answer_cost)
    caller, label, policy = exchange.caller, exchange.label, exchange.policy
    provider, model, locality = exchange.replayed_from
    if target is not None:
        provider, model, locality = target.provider, target.model, "local" if target.local else "cloud"
    if caller is not None:
        record = {
            "id": exchange.id,
            "workspace_id": caller.workspace_id,
            "created_at": datetime.fromtimestamp(exchange.arrived, UTC),
            "key_id": caller.id or None,
            "user_id": caller.user_id or None,
            "client_request_id": exchange.client_request_id,
            "endpoint": exchange.endpoint.public_path,
            "requested_model": _clean(exchange.model, 300),
            "provider": _clean(provider, 60),
            "provider_kind": target.kind.id if target else "",
            "model": _clean(model, 300),
            "stream": exchange.stream,
            "complexity": label.complexity if label else "",
            "complexity_score": round(label.score, 4) if label else None,
            "task": label.task if label else None,
            "privacy": locality,
            "cache": exchange.cache_state,
            "policy": policy.name if policy.id else "",
            "policy_version": policy.version if policy.id else None,
            "status": exchange.status,
            "error_code": _clean(exchange.error_code, 60) if exchange.error_code else "",
            "error": _clean(exchange.error, 500) if exchange.error else "",
            "attempts": [attempt.summary() for attempt in exchange.turns],
            "prompt_tokens": usage.prompt,
            "cached_tokens": usage.cached,
            "completion_tokens": usage.completion,
            "reasoning_tokens": usage.reasoning,
            "usage_estimated": usage.estimated,
            "cost_usd": exchange.cost,
            "saved_usd": f"{Decimal(exchange.saved).scaleb(-12):f}" if exchange.saved else "0",
            "price": pricing.record(price, usage) if price else {},
            "latency_ms": round((now - exchange.started) * 1000),
            "ttft_ms": round((exchange.first_byte - exchange.started) * 1000) if exchange.first_byte else None,
            "metadata": exchange.wishes.metadata,
            "evidence": signals.found(exchange) or None,
            "replay_of": exchange.replay_of or None,
        }
        if exchange.grounding is not None:
            record["grounding"] = exchange.grounding.record()
        ledger.enter(record, sealed(exchange) if caller.content_kept else None)
    metrics.request(
        endpoint=exchange.endpoint.public_path,
        kind=target.kind.id if target else "none",
        model=target.model if target else "none",
        known_model=target is not None and pricing.price_for(target.kind.id, target.model, False).from_map,
        status=exchange.status,
        seconds=now - exchange.started,
        cost=cost,
    )


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
