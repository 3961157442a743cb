"""What a policy decided for one request, with every reason: the route that is taken, and what explain shows of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from routing.policies import PolicyFacts
from routing.providers.base import Target


@dataclass(slots=True)
class Candidate:
    """One target as the policy saw it. Scores are 0 to 1, higher is better, normalised over the candidates."""

    target: Target
    # USD for this request's tokens; None where the model has no known price.
    cost_usd: float | None = None
    cost_score: float = 0.0
    quality_score: float = 0.0
    speed_score: float = 0.0
    # The weighted sum of the three, times `reliability`.
    score: float = 0.0
    reliability: float = 1.0
    # Seconds until the whole answer is there.
    seconds: float | None = None
    # What stood before the score when they were put in order, each a sentence: it is not local, it fails often, …
    put_back: list[str] = field(default_factory=list)
    # How many replicas of the same model go first because they have less to do.
    idler_replicas: int = 0
    # Why it was not taken into account, in plain words for a person; "" when it was.
    excluded_because: str = ""


def _nothing() -> list[Candidate]:
    return []


@dataclass(slots=True)
class Decision:
    """The targets to try, in order, and why.

    `named`: the client named the model, so its absence is the client's fault. `notes` are sentences for explain: a
    floor that gave way, a conversation that stays on its model, a model of the policy that is gone.
    """

    targets: list[Target]
    named: bool
    policy: PolicyFacts
    # Whether the request must stay in the house. Whoever sends it anywhere asks this once more.
    local_only: bool = False
    notes: list[str] = field(default_factory=list)
    # The keys of those of `targets` that are a policy's fallbacks for what the client named.
    fallbacks: frozenset[tuple[str, str]] = frozenset()
    # Makes `candidates`: a request does not need them, so only explain pays for them.
    recall: Callable[[], list[Candidate]] = field(default=_nothing, repr=False)
    # What the ledger keeps of how they were weighed (`policy.told`); None where there was one to ask.
    told: list[list[Any]] | None = None

    @property
    def candidates(self) -> list[Candidate]:
        """Every target that was considered: those of `targets` in order, then those that were excluded.

        One whose breaker is open is excluded, and yet the last of `targets`: it is asked when all others failed.
        """
        return self.recall()
