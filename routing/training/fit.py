"""Fits the learned classifier: a logistic regression for what exams say, and one for each question of the ladder.

The exam's part is taught by whether the weak model fails, on signs of form alone; the ladder's by the tiers of prompts.
The first enters the second as it stands: prompts say where the tiers begin, and exams help to order within them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing.endpoints import CHAT
from routing.features import Features, measure
from routing.learned import Model, form
from routing.rules import TIERS, signals
from routing.training.sets import Prompt, Question

Numbers = NDArray[np.float64]

# The weight of what exams say beside what the words say.
EXAM = 1.5
RIDGE_EXAM, RIDGE_LADDER = 100.0, 5.0
# The words were chosen with sight of the design half of the prompts. So that they are not trusted beyond what they find
# in prompts never seen, half of the copies have hits left out by chance. The rates are how many fewer hits a tier's
# prompts have on the kept half than on the design half: sums, the one thing besides final figures taken from there.
COPIES = 20
KEPT_HITS = {
    "asks_simple": 0.65,
    "asks_moderate": 0.9,
    "asks_complex": 0.77,
    "asks_expert": 0.77,
    "terms_everyday": 0.7,
    "terms_working": 0.65,
    "terms_technical": 0.55,
    "terms_research": 0.55,
}
KEPT_LEADS = 0.8
SEED = 20240601


@dataclass(frozen=True, slots=True)
class Line:
    """A fitted sum: the number before anything is known, and what each column adds."""

    usual: float
    weights: Numbers

    def __call__(self, columns: Numbers) -> Numbers:
        return columns @ self.weights + self.usual


def logistic(columns: Numbers, positive: Numbers, ridge: float, offset: Numbers | None = None) -> Line:
    """Logistic regression on standardised columns by Newton's method. `offset` is added to each row's logit."""
    mean, deviation = columns.mean(axis=0), columns.std(axis=0) + 1e-9
    rows = np.column_stack([np.ones(len(columns)), (columns - mean) / deviation])
    penalty = np.full(rows.shape[1], ridge)
    penalty[0] = 1e-6
    fixed = np.zeros(len(rows)) if offset is None else offset
    found = np.zeros(rows.shape[1])
    for _ in range(60):
        chance = 1 / (1 + np.exp(-np.clip(rows @ found + fixed, -30, 30)))
        slope = rows.T @ (chance - positive) + penalty * found
        curvature = (rows * (chance * (1 - chance))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        # Far from the answer Newton's steps overshoot.
        step /= max(1.0, float(np.abs(step).max()))
        found = found - step
        if np.abs(step).max() < 1e-8:
            break
    weights = found[1:] / deviation
    return Line(float(found[0] - weights @ mean), weights)


def exam_line(questions: Sequence[Question]) -> Line:
    """How likely the weak model fails, by the question's form; centred, so that it is 0 for the usual question."""
    columns = forms([measure(CHAT, question.body) for question in questions])
    failed = np.array([1.0 - question.weak for question in questions])
    line = logistic(columns, failed, RIDGE_EXAM)
    return Line(line.usual - float(line(columns).mean()), line.weights)


def ladder(exam: Line, prompts: Sequence[Prompt]) -> list[Line]:
    """The three questions' sums, taught by the tiers of `prompts`."""
    generator = np.random.default_rng(SEED)
    measured = [measure(CHAT, prompt.body) for prompt in prompts]
    half = COPIES // 2
    thinned = [_thinned(found, generator) for _ in range(half) for found in measured] + measured * (COPIES - half)
    levels = np.array([TIERS.index(prompt.tier) for prompt in prompts] * COPIES)
    columns = np.array([signals(found)[1:] for found in thinned], dtype=float)
    offset = EXAM * exam(forms(thinned))
    return [logistic(columns, (levels >= level).astype(float), RIDGE_LADDER * COPIES, offset) for level in (1, 2, 3)]


def _thinned(found: Features, generator: np.random.Generator) -> Features:
    hits: dict[str, Any] = {
        name: int(generator.binomial(getattr(found, name), kept)) for name, kept in KEPT_HITS.items()
    }
    return replace(found, **hits, lead=found.lead if generator.random() < KEPT_LEADS else 0)


def forms(measured: Sequence[Features]) -> Numbers:
    """The signs of form, a row for each request."""
    return np.array([form(found) for found in measured], dtype=float)


def model(questions: Sequence[Question], prompts: Sequence[Prompt]) -> Model:
    """The model that `questions` and `prompts` teach."""
    exam = exam_line(questions)
    lines = ladder(exam, prompts)
    return Model(
        exam=(EXAM * exam.usual, *(float(EXAM * weight) for weight in exam.weights)),
        ladder=tuple((line.usual, *map(float, line.weights)) for line in lines),
    )
