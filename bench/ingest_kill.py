"""Two thousand pages are ingested by workers that are killed, ten times: no chunk may be lost, none made twice.

The first kill comes while the file is parsed, the others at shares of the chunks, so that each worker got somewhere. In
the end every chunk is compared with those of the same file, ingested undisturbed.
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
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from bench import report
from gateway_project import embedded
from gateway_project.env import BASE_DIR

WORDS = """
harbour engine lantern river copper ledger signal orchard valve compass granite meadow turbine archive falcon bridge
cellar dynamo ferry glacier hammer island journal kettle lever magnet needle oven piston quarry
""".split()  # noqa: SIM905  (a page of quotes is no better)
# Seconds for the whole of an ingestion, and between two looks.
PATIENCE, LOOK = 1800.0, 0.05


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
            command, cwd=BASE_DIR, env=self._environment, stdout=self._log, stderr=self._log, start_new_session=True
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
    from rag.models import Status

    content = pages(count)
    killed, killed_seconds, when = _ingest("killed", content, worker, kills)
    calm, calm_seconds, _ = _ingest("calm", content, worker, 0)
    if {killed.status, calm.status} != {Status.READY}:
        print(f"FAILED: {killed.status} {killed.error} / {calm.status} {calm.error}")
        return 1
    lost, doubled = _compared(killed, calm)
    print(f"{count:,} pages, {calm.chunks:,} chunks; killed {len(when)} times, at {', '.join(when)} chunks")
    print(f"undisturbed {calm_seconds:.0f} s, killed {killed_seconds:.0f} s (each new worker loads the model)")
    print(f"chunks lost: {lost} (0), doubled: {doubled} (0)")
    return 1 if lost or doubled or len(when) < kills else 0


def _ingest(name: str, content: bytes, worker: Worker, kills: int) -> tuple[Any, float, list[str]]:
    """Upload `content` and wait for it, killing the worker `kills` times on the way; when these were."""
    from accounts.models import Workspace
    from rag import services
    from rag.models import Status

    workspace = Workspace.objects.create(name=name)
    actor = services.Actor(workspace.pk)
    library = services.create_library(actor, {"name": "pages"})
    document, _ = services.upload(actor, library, name="pages.txt", content=BytesIO(content))
    began = time.monotonic()
    when: list[str] = []
    while time.monotonic() - began < PATIENCE:
        document.refresh_from_db()
        if document.status in (Status.READY, Status.FAILED):
            break
        due = _is_due(len(when), kills, document)
        if due:
            when.append(f"{document.chunks_done:,}")
            worker.kill()
        time.sleep(LOOK)
    return document, time.monotonic() - began, when


def _is_due(done: int, kills: int, document: Any) -> bool:
    if done >= kills:
        return False
    if done == 0:
        return bool(document.status == "parsing")
    return bool(document.chunks_total) and document.chunks_done >= document.chunks_total * done / (kills + 1)


def _compared(killed: Any, calm: Any) -> tuple[int, int]:
    """How many chunks, or their vectors, the one lacks that the other has, and has more often."""
    from rag.models import Chunk, Entry, StagedChunk

    def chunks(document: Any) -> Counter[Any]:
        rows = Chunk.objects.filter(document=document)
        return Counter(rows.values_list("ordinal", "start", "end", "content"))

    def entries(document: Any) -> Counter[Any]:
        ids = dict(Chunk.objects.filter(document=document).values_list("pk", "ordinal"))
        found = Entry.objects.filter(document=document).values_list("chunk_id", flat=True)
        return Counter(ids.get(chunk, -chunk) for chunk in found)

    lost = doubled = 0
    count: Callable[[Any], Counter[Any]]
    for count in (chunks, entries):
        one, other = count(killed), count(calm)
        lost += (other - one).total()
        doubled += (one - other).total()
    return lost, doubled + StagedChunk.objects.filter(document=killed).count()


def django_on(folder: Path) -> embedded.Hold:
    """Django on a database of its own, in `folder`."""
    os.environ |= {"DATA_DIR": str(folder), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "gateway_project.settings"}
    hold = embedded.start(folder)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    return hold
