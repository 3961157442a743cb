"""Asks a library the questions, in each mode, by the search that everybody uses."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rag import retrieve
from rag.evaluation.locating import Case
from rag.evaluation.measures import Place, Score, mean, score
from rag.models import Library

# A search is asked for this many passages for each document where documents are what is looked for.
PASSAGES_A_DOCUMENT = 3


@dataclass(frozen=True, slots=True)
class Mode:
    """How a search is asked for: `retrieve.Query`'s mode, and whether a cross-encoder has the last word."""

    search: retrieve.Mode
    rerank: bool = False

    @property
    def name(self) -> str:
        return f"{self.search} + rerank" if self.rerank else self.search


VECTOR, TEXT, HYBRID, RERANKED = Mode("vector"), Mode("text"), Mode("hybrid"), Mode("hybrid", rerank=True)


@dataclass
class Measured:
    """A mode's scores, question by question, and the average time of a search in milliseconds."""

    mode: Mode
    scores: list[Score] = field(default_factory=list)
    seconds: float = 0.0
    notes: set[str] = field(default_factory=set)

    @property
    def mean(self) -> Score:
        return mean(self.scores)

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000 / len(self.scores)


def measure(
    library: Library, cases: Sequence[Case], modes: Sequence[Mode], k: int, *, until: float | None = None
) -> list[Measured]:
    """Ask every question in every mode; after `until` (`time.monotonic`) no more are begun, and all modes have as many.

    Raises what `retrieve.search` raises.
    """
    measured = [Measured(mode) for mode in modes]
    for case in cases:
        if until is not None and time.monotonic() > until:
            break
        for each in measured:
            began = time.perf_counter()
            found = ask(library, case, each.mode, k)
            each.seconds += time.perf_counter() - began
            each.scores.append(score(case.references, _places(case, found.results, k), k))
            if found.note:
                each.notes.add(found.note)
    return measured


def ask(library: Library, case: Case, mode: Mode, k: int) -> retrieve.Found:
    """The search for one question."""
    top_k = min(retrieve.MOST, k * PASSAGES_A_DOCUMENT) if _of_documents(case) else k
    query = retrieve.Query(case.text, [library.pk], top_k=top_k, mode=mode.search, rerank=mode.rerank)
    return retrieve.search(library.workspace_id, query)


def _of_documents(case: Case) -> bool:
    return all(place.end is None for reference in case.references for place in reference)


def _places(case: Case, results: Sequence[retrieve.Result], k: int) -> list[Place]:
    """What was found; each document once where documents are looked for."""
    if _of_documents(case):
        return list(_once(results))[:k]
    return [Place(str(result.document_id), result.start, result.end) for result in results]


def _once(results: Sequence[retrieve.Result]) -> Iterator[Place]:
    for document in dict.fromkeys(str(result.document_id) for result in results):
        yield Place(document)
