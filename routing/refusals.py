"""What a caller is told when no target may answer: whose doing that is, and each candidate's reason."""

from collections.abc import Iterable, Sequence
from typing import Any

from gateway_project.lib.errors import (
    ApiError,
    ModelNotFound,
    NoAvailableModel,
    PermissionDenied,
    UnsupportedByBackend,
)
from routing.exchange import Exchange
from routing.filters import Exclusion, Why, exclusion
from routing.needs import Needs, of_kind, of_model
from routing.plan import Plan
from routing.privacy import Privacy
from routing.providers.base import Target

# How many candidates a refusal names in its message, and lists in its details.
NAMED, LISTED = 3, 50


def refused(exchange: Exchange, plan: Plan, excluded: Sequence[Exclusion], needs: Needs) -> ApiError:
    """The error that says why nobody in `excluded`, which is everybody, may answer.

    The key's models and its privacy are why (403) when they excluded the last ones, or when somebody would answer
    but for them; a price that nobody knows is (403), too, where a budget needs it: asking again would not help.
    Otherwise it is an ability that none has (501), a model that is switched off and was named (404), or the state of
    things (503).
    """
    considered = [each for each in excluded if each.why is not Why.NOT_CHOSEN]
    details = {"candidates": [_told(each) for each in considered[:LISTED]]}
    last = max((each.why for each in considered), default=Why.NOT_CHOSEN)
    barred = [each for each in considered if each.why in (Why.NOT_ALLOWED, Why.PRIVACY)]
    if last > Why.PRIVACY:
        barred = [each for each in barred if _would_answer(each.target, plan, needs)]
    if barred and max(each.why for each in barred) is Why.NOT_ALLOWED:
        return PermissionDenied(_not_allowed(exchange, plan, considered), param="model", details=details)
    if barred:
        targets = [each.target for each in barred if each.why is Why.PRIVACY]
        return PermissionDenied(
            "No permitted route: this request must stay on local models, and "
            f"'{exchange.model}' is only to be had from {_clouds(targets)}.",
            param="privacy_mode",
            details=details,
        )
    if last is Why.CAPABILITY:
        return _unsupported(plan, considered, details)
    if last is Why.UNPRICED and plan.question.budgeted:
        return PermissionDenied(_unpriced(exchange, plan, considered), param="model", details=details)
    if last is Why.DISABLED and plan.named:
        message = f"The model '{exchange.model}' cannot be asked: it is disabled in this workspace."
        return ModelNotFound(message, param="model", details=details)
    return NoAvailableModel(_nobody(exchange, plan, considered), details=details)


def _not_allowed(exchange: Exchange, plan: Plan, considered: Sequence[Exclusion]) -> str:
    if plan.named:
        return f"This gateway key may not use the model '{exchange.model}'."
    allowed = sorted(plan.question.allowed or ())
    if not allowed:
        return "This gateway key may use no model at all."
    shown = ", ".join(f"'{name}'" for name in allowed[:NAMED]) + (", …" if len(allowed) > NAMED else "")
    if all(each.why is Why.NOT_ALLOWED for each in considered):
        return f"This gateway key may only use {shown}, and no enabled provider here serves that."
    return f"None of the models that this gateway key may use ({shown}) can answer this request; others here could."


def _would_answer(target: Target, plan: Plan, needs: Needs) -> bool:
    """Whether `target` passes every filter but the key's models and privacy."""
    freed = plan.question._replace(allowed=None, privacy=Privacy.ANYWHERE)
    facts = target.facts
    if facts.context_window is not None and needs.prompt + needs.max_output > facts.context_window and not plan.named:
        return False
    quality, named = facts.quality, plan.named
    return exclusion(target, freed, plan.policy, quality, asked_for=named, by_name=named) is None


def _unsupported(plan: Plan, considered: Sequence[Exclusion], details: dict[str, Any]) -> ApiError:
    unable = [each for each in considered if each.why is Why.CAPABILITY]
    target, question = unable[0].target, plan.question
    kind = target.kind
    lacking = of_kind(question.capability, question.bits) - kind.capabilities
    if lacking:
        message = f"'{target.provider}' is of the kind '{kind.id}', which lacks: {', '.join(sorted(lacking))}."
    else:
        wanted = ", ".join(sorted(of_model(question.bits)))
        message = f"No model here can do what this request needs: {wanted}."
    return UnsupportedByBackend(message, details=details)


def _unpriced(exchange: Exchange, plan: Plan, considered: Sequence[Exclusion]) -> str:
    if plan.named:
        whose = f"'{exchange.model}' has no known price"
    else:
        models = [each.target.id for each in considered if each.why is Why.UNPRICED]
        shown = ", ".join(models[:NAMED]) + (", …" if len(models) > NAMED else "")
        whose = f"No model that could answer '{exchange.model}' has a known price ({shown})"
    return f"{whose}, and a budget holds for this request: an admin can set its price under Routing > Models."


def _nobody(exchange: Exchange, plan: Plan, considered: Sequence[Exclusion]) -> str:
    if not considered:
        return f"None of the models of the policy '{plan.policy.name}' is served here."
    shown = "; ".join(f"{each.target.id}: {each.because}" for each in considered[-NAMED:])
    more = f"; and {len(considered) - NAMED} more" if len(considered) > NAMED else ""
    whose = f" under the policy '{plan.policy.name}'" if plan.policy.id else ""
    short = [each for each in considered if each.why is Why.QUALITY]
    nearest = min(short, key=lambda each: each.shortfall, default=None)
    hint = f" The nearest is {nearest.target.id}: {nearest.because}." if nearest and len(considered) > 1 else ""
    return f"No model can answer '{exchange.model}'{whose}. {shown}{more}.{hint}"


def _told(each: Exclusion) -> dict[str, str]:
    return {"provider": each.target.provider, "model": each.target.model, "excluded_because": each.because}


def _clouds(targets: Iterable[Target]) -> str:
    found = sorted({f"'{target.provider}' ({target.kind.id}, cloud)" for target in targets})
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED + 1 else ""
    return ", ".join(found[: NAMED if more else None]) + more
