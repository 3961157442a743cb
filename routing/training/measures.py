"""Measures of a router's score: APGR and CPT (RouteLLM, Ong et al. 2024), tiers, and the area under the ROC curve.

Questions are sorted by score, hardest first, and the top share goes to the strong model. PGR is the share of the gap
between the weak and the strong model's accuracy that is recovered; APGR its mean over shares from 0 to 1; CPT(x) the
least share that recovers x of the gap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well a score sends to the strong model what only it can answer."""

    apgr: float
    cpt50: float
    cpt80: float


def ranking(scores: Numbers, gains: Numbers, seed: int = 0) -> Ranking:
    """`gains`: strong minus weak, question by question. Ties are broken by chance, the same way each time."""
    order = np.lexsort((np.random.default_rng(seed).random(len(scores)), -scores))
    recovered = np.concatenate([[0.0], np.cumsum(gains[order])]) / gains.sum()
    shares = np.arange(len(recovered)) / (len(recovered) - 1)
    return Ranking(
        float(np.trapezoid(recovered, shares)),
        float(shares[np.argmax(recovered >= 0.5)]),
        float(shares[np.argmax(recovered >= 0.8)]),
    )


def intervals(scores: Numbers, gains: Numbers, rounds: int = 300, seed: int = 0) -> tuple[Ranking, Ranking]:
    """The 95 % bootstrap interval of each measure: (lower ends, upper ends)."""
    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(rounds):
        picked = generator.integers(0, len(scores), len(scores))
        if gains[picked].sum() > 0:
            found = ranking(scores[picked], gains[picked])
            samples.append((found.apgr, found.cpt50, found.cpt80))
    low, high = np.percentile(np.array(samples), (2.5, 97.5), axis=0)
    return Ranking(*map(float, low)), Ranking(*map(float, high))


def area(scores: Numbers, positive: NDArray[np.bool_]) -> float:
    """The chance that a positive has a higher score than a negative, ties counted half."""
    higher = scores[positive][:, None] - scores[~positive][None, :]
    return float(np.mean((higher > 0) + 0.5 * (higher == 0)))


@dataclass(frozen=True, slots=True)
class Tiers:
    """How well tiers are told: exact, off by two or more, and SIMPLE from COMPLEX and EXPERT by the score."""

    exact: float
    far_off: float
    area: float
    # Rows: the author's tier; columns: the classifier's.
    table: NDArray[np.int64]


def tiers(scores: Numbers, told: NDArray[np.int64], true: NDArray[np.int64]) -> Tiers:
    """`told` and `true` are 0 simple to 3 expert."""
    table = np.zeros((4, 4), dtype=np.int64)
    np.add.at(table, (true, told), 1)
    ends = true != 1
    return Tiers(
        float(np.mean(told == true)),
        float(np.mean(np.abs(told - true) >= 2)),
        area(scores[ends], true[ends] > 1),
        table,
    )
