"""Measures of what a search has found for one question: pure functions.

What is looked for are references: passages, or whole documents. A reference may stand in several places (a text that
was uploaded twice); it is found where any of them is.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

# A result has found a passage when it holds this share of the shorter of both.
ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """`text[start:end]` of a document; all of it where `end` is None."""

    document: str
    start: int = 0
    end: int | None = None

    def shared(self, other: "Place") -> int:
        """Characters that both hold, of two ranges."""
        if self.document != other.document or self.end is None or other.end is None:
            return 0
        return max(0, min(self.end, other.end) - max(self.start, other.start))


# The places at which one and the same passage stands.
Reference = tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """What one question came to, or many on average. All are 0 to 1 but `false_hits`.

    `recall`: share of the references that are found, `precision`: share of the results that have found one, `hit`:
    whether any was found, `false_hits`: results that have found none. `found_share`: share of the references'
    characters that is among the results, `retrieved_share`: share of the results' characters that is reference; None
    where whole documents are looked for.
    """

    ndcg: float
    recall: float
    precision: float
    hit: float
    false_hits: float
    found_share: float | None
    retrieved_share: float | None


def score(references: Sequence[Reference], results: Sequence[Place], k: int) -> Score:
    """Of one question with at least one reference, and of the best `k` results, best first."""
    results = results[:k]
    ranks = [rank_of(reference, results) for reference in references]
    good = sum(any(finds(result, place) for reference in references for place in reference) for result in results)
    found, retrieved = shares(references, results)
    return Score(
        ndcg=ndcg(ranks, k),
        recall=sum(rank is not None for rank in ranks) / len(ranks),
        precision=good / len(results) if results else 0.0,
        hit=float(any(rank is not None for rank in ranks)),
        false_hits=float(len(results) - good),
        found_share=found,
        retrieved_share=retrieved,
    )


def mean(scores: Sequence[Score]) -> Score:
    """Each question counts the same. Raises ValueError where there is none."""
    if not scores:
        raise ValueError("no scores")
    averages: dict[str, Any] = {
        field.name: _mean([getattr(each, field.name) for each in scores]) for field in fields(Score)
    }
    return Score(**averages)


def finds(result: Place, place: Place) -> bool:
    """Whether a result has found what stands at `place`."""
    if place.end is None:
        return result.document == place.document
    if result.end is None:
        return False
    shorter = min(result.end - result.start, place.end - place.start)
    return shorter > 0 and result.shared(place) >= ENOUGH * shorter


def rank_of(reference: Reference, results: Sequence[Place]) -> int | None:
    """The rank, from 1, of the first result that has found it."""
    found = (rank for rank, result in enumerate(results, 1) if any(finds(result, place) for place in reference))
    return next(found, None)


def ndcg(ranks: Sequence[int | None], k: int) -> float:
    """Normalized discounted cumulative gain: 1 where each reference is as far up as it can be.

    Every reference counts where it is found first. A result that has found several can be better than the best order
    of results that find one each; that is 1 as well.
    """
    gain = sum(1 / math.log2(1 + rank) for rank in ranks if rank is not None and rank <= k)
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(ranks), k) + 1))
    return min(1.0, gain / ideal) if ideal else 0.0


def shares(references: Sequence[Reference], results: Sequence[Place]) -> tuple[float | None, float | None]:
    """Shares of characters: of the references found, and of the retrieved that are reference; overlap counts once.

    Of a reference that stands in several places, the one counts of which most was found.
    """
    if any(place.end is None for reference in references for place in reference):
        return None, None
    retrieved = united(results)
    best = [max(reference, key=lambda place: overlap(united([place]), retrieved)) for reference in references]
    wanted = united(best)
    both = overlap(wanted, retrieved)
    there = overlap(united(place for reference in references for place in reference), retrieved)
    return both / length(wanted) if wanted else None, there / length(retrieved) if retrieved else 0.0


# --- Sets of characters --------------------------------------------------------------------------

Ranges = dict[str, list[tuple[int, int]]]


def united(places: Iterable[Place]) -> Ranges:
    """Ranges by document that hold what `places` hold: in order, apart from each other."""
    held: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place in places:
        if place.end is not None and place.end > place.start:
            held[place.document].append((place.start, place.end))
    return {document: _joined(ranges) for document, ranges in held.items()}


def length(ranges: Ranges) -> int:
    """Characters in all."""
    return sum(end - start for each in ranges.values() for start, end in each)


def overlap(one: Ranges, other: Ranges) -> int:
    """Characters that are in both."""
    return sum(_shared(ranges, other.get(document, [])) for document, ranges in one.items())


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((start, end))
    return made


def _shared(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """Between two of all ends that follow each other, a character is in both or in none."""
    total = 0
    bounds = sorted({bound for each in (*one, *other) for bound in each})
    at = [0, 0]
    for begin, end in pairwise(bounds):
        inside = True
        for which, ranges in enumerate((one, other)):
            while at[which] < len(ranges) and ranges[at[which]][1] <= begin:
                at[which] += 1
            inside = inside and at[which] < len(ranges) and ranges[at[which]][0] <= begin
        total += (end - begin) * inside
    return total


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
