"""A model's quality as this workspace found it: a prior from public leaderboards, moved by what its answers did here.

Quality is taken to be the probability that an answer is good. Its prior is a Beta distribution, evidence adds to the
two counts, and the mean of what results is the quality that a policy reckons with, per model and complexity.

A leaderboard rests on thousands of votes, but on other people's prompts. So the prior weighs `PRIOR_WEIGHT`
observations: three bad answers move a model by an eighth at most, twenty as much as all that was known before.

Evidence is of two kinds, kept apart:

explicit: what callers said with `POST /v1/feedback`. A judgement is one observation at most; a score between -1 and 1
  is a fraction of one, so that 0 says nothing. Counted without an end.
implicit: what an answer shows by itself (`routing.signals`). A signal is a hint, so it is a fraction of an observation.
  What counts is how often a model fails, not how much it is used; so an answer without a signal counts a little too,
  as evidence for the prior itself: it lifts nobody above what is known of them, and outweighs rare failures. All
  implicit evidence together weighs `IMPLICIT_CAP` at most, the last few hundred answers, so that it never drowns
  what people said. With the prior's own weight beside it, signals alone never take more than half of a quality.
"""

from collections.abc import Mapping
from types import MappingProxyType

# In observations, as all weights here.
PRIOR_WEIGHT = 20.0
IMPLICIT_CAP = 20.0

REFUSED = "refused"
TRUNCATED = "truncated"
RETRIED = "retried"
INVALID_JSON = "invalid_json"
INVALID_ARGUMENTS = "invalid_arguments"
ANSWERED = "answered"

# A refusal may be right, a long answer may be cut with reason, and who asks again may only want another answer. What
# is not the JSON that was asked for is of no use to anybody.
SIGNAL_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {REFUSED: 0.25, TRUNCATED: 0.25, RETRIED: 0.25, INVALID_JSON: 0.5, INVALID_ARGUMENTS: 0.5}
)
# An answer without a signal. One of so many is recorded, and stands for all: a hot path writes no row for each.
ANSWERED_WEIGHT = 0.1
ANSWERED_SAMPLE = 32


def posterior(prior: float, good: float, bad: float) -> float:
    """The quality (0 to 1) of a model with this prior (0 to 1) after so much evidence, in observations."""
    return (prior * PRIOR_WEIGHT + good) / (PRIOR_WEIGHT + good + bad)


def judged(score: float) -> tuple[float, float]:
    """The evidence, good and bad, in a judgement from -1 (bad) to 1 (good)."""
    return (score, 0.0) if score > 0 else (0.0, -score)
