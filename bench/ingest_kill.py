"""Two thousand pages are ingested by workers that are killed, ten times: no chunk may be lost, none made twice.

The first kill comes while the file is parsed, the others at shares of the chunks, so that each worker got somewhere. In
the end the chunks and their entries are compared with what cutting the same text gives, ordinal by ordinal.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

from bench import report
from gateway_project import embedded
from gateway_project.env import BASE_DIR
from gateway_project.processes import child_setup

WORDS = """
harbour engine lantern river copper ledger signal orchard valve compass granite meadow turbine archive falcon bridge
cellar dynamo ferry glacier hammer island journal kettle lever magnet needle oven piston quarry
""".split()  # noqa: SIM905  (a page of quotes is no better)
# Seconds for the whole of an ingestion, and between two looks.
PATIENCE, LOOK = 3600.0, 0.05
CHUNK_TOKENS = 160


def pages(count: int, seed: int = 6) -> bytes:
    """So many pages of text; no two passages are equal."""
    rng = random.Random(seed)
    made = []
    for page in range(count):
        sentences = [
            f"On page {page} the {rng.choice(WORDS)} of the {rng.choice(WORDS)} weighs {rng.randrange(10_000)} grams, "
            f"and no {rng.choice(WORDS)} is heavier."
            for _ in range(14)
        ]
        made.append("\n\n".join(" ".join(sentences[at : at + 7]) for at in (0, 7)))
    return "\f".join(made).encode()


class Worker:
    """A process that ingests, and can be killed."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "DATA_DIR": str(folder)}
        self._log = (folder / "workers.log").open("ab")
        self.process = self._begin()

    def _begin(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "bench.ingest_worker"]
        return subprocess.Popen(
            command,
            cwd=BASE_DIR,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=child_setup(os.getpid()),
        )

    def kill(self) -> None:
        """As by the kernel, with its parser; and begin another one."""
        self.end()
        self.process = self._begin()

    def end(self) -> None:
        """Without another one."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.flush()


def run(count: int, kills: int) -> int:
    """Print what came of it; 1 when a chunk was lost or doubled, or it did not end."""
    print(report.machine())
    folder = Path(tempfile.mkdtemp(prefix="ingest-kill-"))
    hold = django_on(folder)
    worker = Worker(folder)
    try:
        return _run(count, kills, worker)
    finally:
        worker.end()
        hold.release()
        shutil.rmtree(folder, ignore_errors=True)


def _run(count: int, kills: int, worker: Worker) -> int:
    from accounts.models import Workspace
    from rag import services
    from rag.models import Status

    actor = services.Actor(Workspace.objects.create(name="bench").pk)
    library = services.create_library(actor, {"name": "pages", "chunk_tokens": CHUNK_TOKENS, "overlap": 0})
    document, _ = services.upload(actor, library, name="pages.txt", content=BytesIO(pages(count)))
    began = time.monotonic()
    when = _disturbed(document, worker, kills)
    seconds = time.monotonic() - began
    if document.status != Status.READY:
        print(f"FAILED: {document.status} {document.error} {document.chunks_done:,} of {document.chunks_total:,}")
        return 1
    lost, doubled = _compared(document)
    print(
        f"{count:,} pages, {document.chunks:,} chunks, {seconds:.0f} s; killed {len(when)} times, at {', '.join(when)}"
    )
    print(f"chunks lost: {lost} (0), doubled: {doubled} (0)")
    return 1 if lost or doubled or len(when) < kills else 0


def _disturbed(document: Any, worker: Worker, kills: int) -> list[str]:
    """Wait for the document, killing the worker `kills` times on the way; at how many chunks that was."""
    from rag.models import Status

    ends = time.monotonic() + PATIENCE
    when: list[str] = []
    while time.monotonic() < ends:
        document.refresh_from_db()
        if document.status in (Status.READY, Status.FAILED):
            break
        if _is_due(len(when), kills, document):
            when.append(f"{document.chunks_done:,}")
            worker.kill()
        time.sleep(LOOK)
    return when


def _is_due(done: int, kills: int, document: Any) -> bool:
    if done >= kills:
        return False
    if done == 0:
        return bool(document.status == "parsing")
    return bool(document.chunks_total) and document.chunks_done >= document.chunks_total * done / (kills + 1)


def _compared(document: Any) -> tuple[int, int]:
    """How many chunks, or their vectors, are missing, and how many are there that should not be."""
    from rag import storage
    from rag.extract import extract
    from rag.ingest.parsing import pieces_of, title_in_headers
    from rag.ingest.spaces import space_of
    from rag.models import Chunk, Entry, StagedChunk

    document.library.refresh_from_db()
    with storage.local_path(document.file) as path:
        extracted = extract(path, name=document.source)
    pieces = pieces_of(extracted, document.library, space_of(document.library), title_in_headers(document))
    wanted = Counter((piece.ordinal, piece.start, piece.end, piece.content) for piece in pieces)
    chunks = Chunk.objects.filter(document=document)
    found = Counter(chunks.values_list("ordinal", "start", "end", "content"))
    ordinals = dict(chunks.values_list("pk", "ordinal"))
    entered = Counter(
        ordinals.get(chunk, -chunk)
        for chunk in Entry.objects.filter(document=document).values_list("chunk_id", flat=True)
    )
    ids = Counter(piece.ordinal for piece in pieces)
    lost = (wanted - found).total() + (ids - entered).total()
    doubled = (found - wanted).total() + (entered - ids).total()
    return lost, doubled + StagedChunk.objects.filter(document=document).count()


def django_on(folder: Path) -> embedded.Hold:
    """Django on a database of its own, in `folder`."""
    os.environ |= {"DATA_DIR": str(folder), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "gateway_project.settings"}
    hold = embedded.start(folder)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    return hold
