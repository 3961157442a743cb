"""What the next request would do, and why: the request's own code, run without sending or changing anything."""

import dataclasses
from decimal import Decimal
from typing import Any

import orjson
from django.conf import settings

from accounts.models import User
from analytics.amounts import as_text
from gateway_project.lib.errors import ApiError
from gateway_project.lib.throttle import Throttle
from routing import sticky
from routing.budgets.preview import preview
from routing.calibration import PRIOR_WEIGHT
from routing.classify import classify
from routing.decision import Candidate, Decision
from routing.endpoints import CHAT, Endpoint
from routing.exchange import Exchange
from routing.grounding import ground
from routing.health import Health
from routing.naming import AUTO
from routing.parse import read_body
from routing.policies import PolicyFacts
from routing.policy import Table, chosen, weigh
from routing.refusals import refused
from routing.rows import Row
from routing.snapshot import Caller
from routing.targets import WorkspaceTargets

# Digits after the point: scores, and USD.
SCORE, USD = 4, 9


def admit(user: User) -> None:
    """Count one question of `user`, each of which costs some milliseconds. Raises `RateLimitExceeded`."""
    Throttle("explain", *settings.EXPLAINS_PER_USER).hit(str(user.pk))


def explain(
    view: WorkspaceTargets,
    health: Health,
    caller: Caller | None,
    body: dict[str, Any],
    *,
    workspace_id: str = "",
    policy: PolicyFacts | None = None,
    endpoint: Endpoint = CHAT,
    conversations: sticky.Conversations | None = None,
) -> dict[str, Any]:
    """How a request with this `body`, the gateway's own fields in it, would be routed in the state that `view` shows.

    `caller` is the gateway key that would send it; None for one without limits of its own, to the workspace with
    `workspace_id`. `policy`, a draft say, stands in for the one that would be in force. Without a `model`, `auto` is
    explained. Where the request is to be answered from documents they are searched, as their strictness and their
    passages' length decide who may answer.

    The answer is ready for JSON, the contract's fields first. `chosen` is null when nobody may answer; `refusal` then
    is what the request would be answered with. Raises `InvalidRequest` for a body that no request may have.
    """
    exchange = Exchange(endpoint, caller=caller)
    read_body(exchange, orjson.dumps({"model": AUTO, **body}), {})
    refusal: ApiError | None = None
    decision, table = Decision([], named=False, policy=exchange.policy), None
    try:
        exchange.policy = policy or chosen(exchange, view)
    except ApiError as error:
        refusal = error
    else:
        refusal = _ground(exchange, view, workspace_id)
    exchange.label = label = classify(
        exchange.endpoint, exchange.body, exchange.wishes, kind=exchange.policy.classifier
    )
    if refusal is None:
        try:
            decision, table = weigh(exchange, view, health, sticky.current if conversations is None else conversations)
        except ApiError as error:
            refusal = error
        else:
            if not decision.targets:
                refusal = refused(exchange, table.plan, table.excluded, table.needs)
    unaffordable, too_dear = preview(exchange, decision)
    candidates = decision.candidates
    for candidate in candidates:
        candidate.excluded_because = candidate.excluded_because or unaffordable.get(candidate.target.id, "")
    candidates.sort(key=lambda candidate: bool(candidate.excluded_because))
    refusal = refusal or too_dear
    targets = [candidate.target.id for candidate in candidates if not candidate.excluded_because]
    return {
        "complexity": label.complexity,
        "complexity_score": round(label.score, SCORE),
        "features": dataclasses.asdict(label.features) if label.features is not None else {},
        "candidates": [_shown(candidate, table, health) for candidate in candidates],
        "chosen": targets[0] if targets else None,
        "fallbacks": targets[1:],
        "task": label.task,
        "prompt_tokens": label.prompt_tokens,
        "expected_output_tokens": table.needs.output if table is not None else None,
        "privacy": table.plan.question.privacy.name.lower() if table is not None else None,
        "policy": {"name": exchange.policy.name, "version": exchange.policy.version},
        "weights": {name: getattr(exchange.policy.weights, name) for name in ("cost", "quality", "speed")},
        "snapshot": view.version,
        "grounding": _quoted(exchange),
        "notes": decision.notes,
        "refusal": {"status": refusal.status, "code": refusal.code, "message": refusal.message} if refusal else None,
    }


def _ground(exchange: Exchange, view: WorkspaceTargets, workspace_id: str) -> ApiError | None:
    """Search the documents that the request is to be answered from, if any. Why it would be refused, if it would."""
    if not ground.is_wanted(exchange):
        return None
    try:
        exchange.grounding = ground.grounded_here(
            exchange, view, exchange.caller.workspace_id if exchange.caller is not None else workspace_id
        )
    except ApiError as error:
        return error
    return None


def _quoted(exchange: Exchange) -> dict[str, Any] | None:
    """The documents that the model would be shown passages of; null where none are searched."""
    found = exchange.grounding
    if found is None:
        return None
    titles = {source.document_id: source.title for source in found.sources}
    documents = [{"id": document, "title": titles[document]} for document in found.documents]
    return found.record() | {"documents": documents, "strict": found.strict, "note": found.note}


def _shown(candidate: Candidate, table: Table | None, health: Health) -> dict[str, Any]:
    """One candidate, the contract's fields first."""
    target, facts = candidate.target, candidate.target.facts
    excluded = candidate.excluded_because
    state = health.state(target.key)
    row = _row(candidate, table)
    shown: dict[str, Any] = {
        "model": target.model,
        "provider": target.provider,
        "cost_score": None if excluded else round(candidate.cost_score, SCORE),
        "quality_score": None if excluded else round(candidate.quality_score, SCORE),
        "speed_score": None if excluded else round(candidate.speed_score, SCORE),
        "score": None if excluded else round(candidate.score, SCORE),
    }
    if excluded:
        shown["excluded_because"] = excluded
    return shown | {
        "id": target.id,
        "local": target.local,
        "cost_usd": None if candidate.cost_usd is None or excluded else _money(candidate.cost_usd),
        "price_source": facts.price.source,
        "quality": round(row.quality if row else facts.quality, SCORE),
        "quality_prior": facts.quality,
        "quality_source": facts.quality_source,
        "prior_weight": PRIOR_WEIGHT,
        "evidence": {"good": row.evidence[0], "bad": row.evidence[1]} if row else None,
        "seconds": None if candidate.seconds is None else round(candidate.seconds, 3),
        "measured": state is not None and state.ttft_s is not None,
        "reliability": round(candidate.reliability, SCORE),
        "error_rate": round(state.error_rate, SCORE) if state is not None else 0.0,
        "breaker": state.breaker if state is not None else "closed",
        "in_flight": state.in_flight if state is not None else 0,
        "put_back_because": candidate.put_back,
        "idler_replicas": candidate.idler_replicas,
    }


def _money(usd: float) -> str:
    """`usd`, an estimate, as the API writes money."""
    return as_text(Decimal(f"{usd:.{USD}f}"))


def _row(candidate: Candidate, table: Table | None) -> Row | None:
    if table is None:
        return None
    return next((row for row in table.plan.rows if row.target is candidate.target), None)
