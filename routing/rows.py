"""A target in the form in which scores and order reckon with it."""

from routing.needs import LARGE_WINDOW
from routing.providers.base import Target

# Until a target was asked: seconds to its first token, and tokens a second. Estimates, of what a small model on one
# GPU and a cloud's chat model do; measurements replace them after the first answer.
LOCAL_PRIOR, CLOUD_PRIOR = (0.4, 40.0), (0.8, 70.0)
# Seconds that a local server takes to load a model which it does not hold in memory.
LOADING = 8.0

# What a cloud model without a known price is taken to cost, USD per token, so that it counts as the dearest: more than
# nearly every price of litellm's map. It is never billed.
DEAR_INPUT, DEAR_OUTPUT = 30e-6, 150e-6


class Row:
    """A target that passed the filters of its plan, with what scores and order need of it."""

    __slots__ = (
        "choice", "evidence", "index", "input_rate", "key", "large", "load", "output_rate",
        "place", "pool", "priced", "prior", "quality", "seconds_per_token", "target", "ttft", "window",
    )  # fmt: skip

    def __init__(self, target: Target, place: int, prior: float, quality: float, evidence: tuple[float, float]) -> None:
        facts = target.facts
        self.target = target
        self.key = target.key
        # 0 for what was asked for, else the place among the policy's fallbacks.
        self.place = place
        # The order of rows that are equal in everything else. Set by the plan.
        self.index = 0
        self.prior, self.quality, self.evidence = prior, quality, evidence
        self.priced = target.local or facts.price.known
        self.input_rate, self.output_rate = facts.input_rate, facts.output_rate
        if not self.priced:
            self.input_rate, self.output_rate = DEAR_INPUT, DEAR_OUTPUT
        self.window = facts.context_window
        self.large = self.window is not None and self.window >= LARGE_WINDOW
        first, speed = LOCAL_PRIOR if target.local else CLOUD_PRIOR
        self.load = LOADING if target.local and facts.loaded is False else 0.0
        self.ttft = first + self.load
        self.seconds_per_token = 1.0 / speed
        # Whether the policy's table of tasks names it.
        self.choice = False
        # The replicas of its model, itself among them; None where there is no other.
        self.pool: list[Row] | None = None
