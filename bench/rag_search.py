"""Search in one workspace of a million chunks: how long it takes, and how much of what is nearest it finds."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bench import report
from bench.rag_store import BUCKETS, CHUNKS_PER_DOCUMENT, LIBRARIES, Floats, Plan, build, load, questions
from gateway_project import embedded

MUST_MS, AIM_MS = 30.0, 15.0
MUST_RECALL, AIM_RECALL = 0.95, 0.98
K = 10


@dataclass(frozen=True)
class Case:
    """A kind of search: what it is about for a question, and which chunks that keeps (by number; None: all)."""

    what: str
    scope: Callable[[int], Any]
    keeps: Callable[[int], NDArray[np.bool_] | None]
    judged: bool = True


@dataclass(frozen=True)
class Measured:
    """What a case came to."""

    what: str
    ms: list[float]
    recall: float
    judged: bool

    @property
    def p50(self) -> float:
        return statistics.median(self.ms)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.ms, n=20)[-1]

    @property
    def verdict(self) -> str:
        if not self.judged:
            return ""
        if self.p50 <= AIM_MS and self.recall >= AIM_RECALL:
            return "aim"
        return "ok" if self.p50 <= MUST_MS and self.recall >= MUST_RECALL else "over"


def run(rows: int, count: int, data: Path | None) -> int:
    """Print the table; 1 when a figure is not what it must be. `data`: a folder that keeps the store for later."""
    print(report.machine())
    folder = data or Path(tempfile.mkdtemp(prefix="rag-search-"))
    folder.mkdir(parents=True, exist_ok=True)
    hold = _django(folder)
    try:
        plan = Plan(rows, folder)
        space_id = _built(plan)
        measured = _measure(plan, space_id, count)
    finally:
        hold.release()
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(_table(measured))
    return 1 if any(each.verdict == "over" for each in measured) else 0


def _django(folder: Path) -> embedded.Hold:
    """Set Django up for a database of this run's own."""
    os.environ |= {"DATA_DIR": str(folder), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "gateway_project.settings"}
    hold = embedded.start(folder)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    return hold


def _built(plan: Plan) -> int:
    from rag.models import Space

    space = Space.objects.filter(model="bench").first()
    return build(plan) if space is None else int(space.pk)


def _cases(plan: Plan, chosen: NDArray[np.int64]) -> list[Case]:
    from rag import filters
    from rag.models import Document, Library
    from rag.store import Scope

    documents = np.arange(plan.rows) // CHUNKS_PER_DOCUMENT
    library = plan.library_of(documents)
    ids = [UUID(int=number) for number in range(LIBRARIES)]
    assert Library.objects.filter(pk__in=ids).count() == LIBRARIES
    # By document number.
    kept = Document.objects.order_by("pk").values_list("metadata__bucket", "metadata__share")
    buckets, shares = (np.array(column)[documents] for column in zip(*kept, strict=True))

    def keeping(condition: dict[str, Any]) -> Any:
        return Scope(ids, filters.parse(condition), everything=True)

    return [
        Case("all libraries", lambda n: Scope(ids, everything=True), lambda n: None),
        Case("1% by metadata (eq)", lambda n: keeping({"bucket": n % BUCKETS}), lambda n: buckets == n % BUCKETS),
        Case("1% by metadata (range)", lambda n: keeping({"share": {"lt": 0.01}}), lambda n: shares < 0.01),
        Case("one library", lambda n: Scope([ids[library[chosen[n]]]]), lambda n: library == library[chosen[n]]),
        Case(
            "half of the libraries",
            lambda n: Scope(ids[: LIBRARIES // 2]),
            lambda n: library < LIBRARIES // 2,
            judged=False,
        ),
        Case(
            "10% by metadata (range)", lambda n: keeping({"share": {"lt": 0.1}}), lambda n: shares < 0.1, judged=False
        ),
        Case(
            "one page",
            lambda n: keeping({"page": 3}),
            lambda n: np.arange(plan.rows) % CHUNKS_PER_DOCUMENT == 2,
            judged=False,
        ),
    ]


def _measure(plan: Plan, space_id: int, count: int) -> list[Measured]:
    from rag import store
    from rag.models import Space

    space = Space.objects.get(pk=space_id)
    vectors, chosen = questions(plan, count)
    before, _ = questions(Plan(plan.rows, plan.folder, plan.seed + 7), count)
    half = vectors.astype(np.float16).astype(np.float32)
    found = []
    for case in _cases(plan, chosen):
        ms, right = [], 0
        masks = [case.keeps(number) for number in range(count)]
        nearest = _nearest(plan, half, masks)
        # Other questions first: a server that has just been started reads its index from the disk.
        for number, vector in enumerate(before):
            store.current.search_vector(space, vector.astype("<f4").tobytes(), case.scope(number), K)
        for number, vector in enumerate(vectors):
            scope = case.scope(number)
            started = time.perf_counter()
            hits = store.current.search_vector(space, vector.astype("<f4").tobytes(), scope, K)
            ms.append((time.perf_counter() - started) * 1000)
            right += len({hit.chunk_id - 1 for hit in hits} & set(nearest[number]))
        there = sum(map(len, nearest))
        found.append(Measured(case.what, ms, right / there if there else 1.0, case.judged))
        print(_table(found[-1:]), flush=True)
    return [*found, *_text(space, count)]


def _text(space: Any, count: int) -> list[Measured]:
    """Search by words, of which some are in nearly every chunk; how well is not judged here."""
    from rag import store
    from rag.models import Library
    from rag.store import Scope

    scope = Scope(list(Library.objects.values_list("pk", flat=True)), everything=True)
    found = []
    for what, words in (
        ("words, rare", (9_000, 30_000)),
        ("words, rare and common", (2, 5_000)),
        ("words, common", (0, 1, 2)),
    ):
        ms = []
        for number in range(count):
            text = " ".join(f"w{word + number % 3:05}" for word in words)
            started = time.perf_counter()
            store.current.search_text(space, text, scope, K)
            ms.append((time.perf_counter() - started) * 1000)
        found.append(Measured(what, ms, float("nan"), judged=False))
    return found


def _nearest(plan: Plan, queries: Floats, masks: Sequence[NDArray[np.bool_] | None]) -> list[list[int]]:
    """The numbers of the K chunks nearest to each query, by comparing all that are kept."""
    vectors = load(plan)
    best: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = [
        (np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries
    ]
    for first in range(0, plan.rows, 100_000):
        block = vectors[first : first + 100_000].astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        for number, (scores, mask) in enumerate(zip(queries @ block.T, masks, strict=True)):
            if mask is not None:
                scores = np.where(mask[first : first + 100_000], scores, -2)
            top = np.argpartition(scores, -K)[-K:]
            top = top[scores[top] > -2]
            held, numbers = best[number]
            held, numbers = np.concatenate([held, scores[top]]), np.concatenate([numbers, top + first])
            order = np.argsort(-held)[:K]
            best[number] = held[order], numbers[order]
    return [numbers.tolist() for _, numbers in best]


def _table(measured: Sequence[Measured]) -> str:
    lines = [f"{'search':26} {'p50':>9} {'p95':>9} {'recall@10':>10}"]
    for each in measured:
        lines.append(
            f"{each.what:26} {each.p50:6.1f} ms {each.p95:6.1f} ms {each.recall:10.4f}  {each.verdict}".rstrip()
        )
    return "\n".join(lines)
