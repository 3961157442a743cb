"""The figures of both classifiers, on questions and prompts that neither was made on."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from routing import learned, rules
from routing.endpoints import CHAT
from routing.features import Features, measure
from routing.training import fit
from routing.training.measures import Tiers, tiers
from routing.training.sets import Prompt, Question

Numbers = NDArray[np.float64]
Score = Callable[[Features], float]


def scored(measured: Sequence[Features], score: Score) -> Numbers:
    """The score of each request."""
    return np.array([score(found) for found in measured])


def gains(questions: Sequence[Question]) -> Numbers:
    """What the strong model adds to each question: -1, 0 or 1."""
    return np.array([float(question.strong - question.weak) for question in questions])


def tiers_of(prompts: Sequence[Prompt], score: Score) -> Tiers:
    """How well the tiers of `prompts` are told."""
    scores = scored([measure(CHAT, prompt.body) for prompt in prompts], score)
    true = np.array([rules.TIERS.index(prompt.tier) for prompt in prompts])
    return tiers(scores, np.digitize(scores, rules.THRESHOLDS).astype(np.int64), true)


def left_out(questions: Sequence[Question], measured: Sequence[Features], prompts: Sequence[Prompt]) -> Numbers:
    """The learned score of each question by a model that saw no question of its subject."""
    scores = np.zeros(len(questions))
    for subject in sorted({question.subject for question in questions}):
        model = fit.model([question for question in questions if question.subject != subject], prompts)
        for index, question in enumerate(questions):
            if question.subject == subject:
                scores[index] = learned.score(measured[index], model)
    return scores
