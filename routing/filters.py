"""Which targets may answer a request at all. Each that may not has a reason, in plain words for a person.

Here are the filters that depend on nothing but the request's kind, the policy and the snapshot, so that their outcome
is kept (`routing.plan`). What depends on its tokens and on live state is in `routing.policy`.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from routing import needs
from routing.policies import PolicyFacts
from routing.privacy import Privacy, forbids
from routing.providers.base import Target


class Why(IntEnum):
    """The filters, in the order in which they are applied; a target's reason is the first that excludes it."""

    NOT_CHOSEN = 1
    DISABLED = 2
    NOT_ALLOWED = 3
    PRIVACY = 4
    CAPABILITY = 5
    QUALITY = 6
    UNPRICED = 7
    COST = 8
    CONTEXT = 9
    DENIED = 10
    BREAKER = 11


class Exclusion(NamedTuple):
    """A target that may not be asked, which filter says so, and the sentence."""

    target: Target
    why: Why
    because: str
    # Of one whose quality is too low: by how much.
    shortfall: float = 0.0


class Question(NamedTuple):
    """What of a request decides which targets may answer it, besides its tokens. Equal questions have one plan."""

    model: str
    allowed: frozenset[str] | None
    capability: str
    bits: int
    privacy: Privacy
    complexity: str
    task: str
    # Whether the key, the member who made it or the workspace has a budget.
    budgeted: bool


# The members of a `Question`, in their order: requests look a plan up by them, and only a new plan needs their names.
Asked = tuple[str, frozenset[str] | None, str, int, Privacy, str, str, bool]


def names(listed: frozenset[str] | Mapping[str, object], target: Target) -> bool:
    """Whether `listed` names `target`: by its bare model id, or as `<provider>/<model>`."""
    return target.model in listed or target.id in listed


def exclusion(
    target: Target, question: Question, policy: PolicyFacts, quality: float, *, asked_for: bool, by_name: bool
) -> Exclusion | None:
    """The first reason for which `target` may not answer, or None.

    `asked_for`: the client named it; then the provider is the judge of what its model can do, not a price map.
    `by_name`: the client or the policy's fallbacks named it, so what the policy chooses among does not bind it.
    """
    facts = target.facts
    if policy.models is not None and not by_name and not names(policy.models, target):
        return Exclusion(target, Why.NOT_CHOSEN, f"it is not among the models that the policy '{policy.name}' lists")
    if not facts.enabled:
        return Exclusion(target, Why.DISABLED, "it is disabled in this workspace")
    allowed = question.allowed
    if allowed is not None and not names(allowed, target):
        return Exclusion(target, Why.NOT_ALLOWED, "this gateway key may not use it")
    if forbids(question.privacy, target):
        return Exclusion(target, Why.PRIVACY, "it is not local, and this request must stay on local models")
    lacking = needs.of_kind(question.capability, question.bits) - target.kind.capabilities
    if lacking:
        return Exclusion(target, Why.CAPABILITY, f"providers of the kind '{target.kind.id}' lack: {_list(lacking)}")
    if facts.capabilities is not None and not asked_for:
        lacking = needs.of_model(question.bits) - facts.capabilities
        if lacking:
            return Exclusion(target, Why.CAPABILITY, f"the model lacks: {_list(lacking)}")
    least = None if by_name else policy.min_quality.get(question.complexity)
    if least is not None and quality < least:
        told = f"its quality {quality:.2f} is under the policy's {least:.2f} for {question.complexity} requests"
        return Exclusion(target, Why.QUALITY, told, least - quality)
    if (policy.max_cost_usd is not None or question.budgeted) and not target.local and not facts.price.known:
        whose = "a budget holds for this request" if question.budgeted else "the policy caps what a request may cost"
        return Exclusion(target, Why.UNPRICED, f"its price is unknown, and {whose}")
    return None


def _list(abilities: frozenset[str]) -> str:
    return ", ".join(sorted(abilities))
