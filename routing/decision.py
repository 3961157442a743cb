"""What a policy decided for one request, with every reason: the route that is taken, and what explain shows of it."""

from dataclasses import dataclass, field

from routing.policies import PolicyFacts
from routing.providers.base import Target


@dataclass(slots=True)
class Candidate:
    """One target as the policy saw it. Scores are 0 to 1, higher is better, normalised over the candidates."""

    target: Target
    # USD for this request's tokens.
    cost_usd: float = 0.0
    cost_score: float = 0.0
    quality_score: float = 0.0
    speed_score: float = 0.0
    score: float = 0.0
    # Why it was not taken into account, in plain words for a person; "" when it was.
    excluded_because: str = ""


@dataclass(slots=True)
class Decision:
    """The targets to try, in order, and why.

    `named`: the client named the model, so its absence is the client's fault. `notes` are sentences for explain: a
    floor that gave way, a conversation that stays on its model, a model of the policy that is gone.
    """

    targets: list[Target]
    named: bool
    policy: PolicyFacts
    candidates: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
