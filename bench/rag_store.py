"""A workspace of many chunks, made at once: 1,000 libraries, documents of ten chunks, vectors in clusters of clusters.

Rows are copied into Postgres in its binary form, and indexed by the store's own upkeep, as a space is that has grown.
"""

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.scale import copies

LIBRARIES, CHUNKS_PER_DOCUMENT, DIMENSION = 1_000, 10, 384
# Clusters of libraries; how far a library lies from its theme, a document from its library, a chunk from its document.
THEMES, SPREAD = 100, (0.8, 0.7, 0.7)
# The metadata's `bucket` is one of so many: a filter for one of them keeps 1%.
BUCKETS = 100
WORDS, VOCABULARY = 60, 50_000
BATCH = 20_000

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """How much there is, and where its vectors are kept for comparing exactly."""

    rows: int
    folder: Path
    seed: int = 1

    @property
    def documents(self) -> int:
        return self.rows // CHUNKS_PER_DOCUMENT

    @property
    def vectors(self) -> Path:
        return self.folder / "vectors.npy"

    def library_of(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Documents lie in the libraries in turn, as they would arrive."""
        return documents % LIBRARIES


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit


def _around(random: np.random.Generator, centres: Floats, spread: float) -> Floats:
    noise = _unit(random.standard_normal(centres.shape, dtype=np.float32))
    return _unit(centres + np.float32(spread) * noise)


def make_vectors(plan: Plan) -> None:
    """Write the chunks' vectors, in half precision as the store keeps them."""
    random = np.random.default_rng(plan.seed)
    themes = _unit(random.standard_normal((THEMES, DIMENSION), dtype=np.float32))
    libraries = _around(random, themes[np.arange(LIBRARIES) % THEMES], SPREAD[0])
    found = np.lib.format.open_memmap(plan.vectors, "w+", np.float16, (plan.rows, DIMENSION))
    step = BATCH // CHUNKS_PER_DOCUMENT
    for first in range(0, plan.documents, step):
        numbers = np.arange(first, min(first + step, plan.documents))
        documents = _around(random, libraries[plan.library_of(numbers)], SPREAD[1])
        chunks = _around(random, np.repeat(documents, CHUNKS_PER_DOCUMENT, axis=0), SPREAD[2])
        found[first * CHUNKS_PER_DOCUMENT : (first + len(numbers)) * CHUNKS_PER_DOCUMENT] = chunks
    found.flush()


def questions(plan: Plan, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Vectors near to chunks that are drawn by chance, and these chunks' numbers."""
    random = np.random.default_rng(plan.seed + 1)
    chosen = random.integers(0, plan.rows, count)
    return _around(random, load(plan)[chosen].astype(np.float32), SPREAD[2]), chosen


def load(plan: Plan) -> NDArray[np.float16]:
    """The vectors, by chunk number (chunk ids are one more)."""
    vectors: NDArray[np.float16] = np.load(plan.vectors, mmap_mode="r")
    return vectors


def fill(plan: Plan, space_id: int, connection: psycopg.Connection[Any]) -> None:
    """Insert documents, chunks and entries. Libraries and documents have ids that tell their number.

    There is one row of each already, which is copied, so that this needs no knowledge of columns of no concern here.
    """
    library, document, chunk = (f"rag_{name} t" for name in ("library", "document", "chunk"))
    per, last = CHUNKS_PER_DOCUMENT, plan.documents - 1
    copies(
        connection, "rag_library", f"{library}, generate_series(1, {LIBRARIES - 1}) n",
        {"id": _id("n"), "name": "'library ' || n"},
    )  # fmt: skip
    values = {
        "bucket": f"(hashint8(n) & 65535) % {BUCKETS}", "share": "random()", "author": "'author ' || n % 977",
        "year": "1990 + n % 35",
    }  # fmt: skip
    members = ", ".join(f"'{name}', {value}" for name, value in values.items())
    copies(
        connection, "rag_document", f"{document}, generate_series(1, {last}::bigint) n",
        {
            "id": _id("n"), "library_id": _id(f"n % {LIBRARIES}"), "title": "'document ' || n",
            "source": "'file ' || n", "sha256": "sha256(n::text::bytea)", "metadata": f"jsonb_build_object({members})",
        },
    )  # fmt: skip
    connection.execute(f"CREATE UNLOGGED TABLE bench_vector (id bigint, embedding halfvec({DIMENSION}), content text)")
    with connection.cursor() as cursor, cursor.copy("COPY bench_vector FROM STDIN (FORMAT BINARY)") as copy:
        for block in _binary(plan):
            copy.write(block)
    copies(
        connection, "rag_chunk", f"{chunk}, bench_vector v ORDER BY v.id",
        {
            "id": "v.id", "library_id": _id(f"(v.id - 1) / {per} % {LIBRARIES}"), "content": "v.content",
            "document_id": _id(f"(v.id - 1) / {per}"), "ordinal": f"(v.id - 1) % {per}", "start": "0",
            "end": "length(v.content)", "page": f"1 + (v.id - 1) % {per}", "hash": "sha256(v.id::text::bytea)",
        },
    )  # fmt: skip
    # The row that was copied.
    connection.execute("DELETE FROM rag_chunk WHERE id = 0")
    connection.execute(
        "INSERT INTO rag_entry (part, space_id, workspace_id, library_id, document_id, chunk_id, config, embedding,"
        " words) SELECT s.id * s.partitioned::int, s.id, c.workspace_id, c.library_id, c.document_id, c.id, 'english',"
        " v.embedding, rag_words('english', '', c.content)"
        " FROM bench_vector v JOIN rag_chunk c USING (id), rag_space s WHERE s.id = %s ORDER BY c.id",
        [space_id],
    )
    connection.execute("DROP TABLE bench_vector")


def _id(number: str) -> str:
    """SQL for the id that has this number."""
    return f"lpad(to_hex({number}), 32, '0')::uuid"


def _binary(plan: Plan) -> Iterator[bytes]:
    """Rows of number, vector and text, as COPY's binary form has them."""
    random = np.random.default_rng(plan.seed + 2)
    # As words of a language are: the second half as often as the first, and so on.
    vocabulary = [f"w{number:05}" for number in range(VOCABULARY)]
    weights = 1 / np.arange(1, VOCABULARY + 1)
    weights /= weights.sum()
    vectors = load(plan)
    yield b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    for first in range(0, plan.rows, BATCH):
        block = BytesIO()
        big_endian = vectors[first : first + BATCH].astype(">f2")
        words = random.choice(VOCABULARY, (len(big_endian), WORDS), p=weights)
        for offset, (vector, chosen) in enumerate(zip(big_endian, words, strict=True)):
            text = " ".join(vocabulary[each] for each in chosen).encode()
            block.write(struct.pack("!hiqi", 3, 8, first + offset + 1, 4 + 2 * DIMENSION))
            block.write(struct.pack("!HH", DIMENSION, 0) + vector.tobytes())
            block.write(struct.pack("!i", len(text)) + text)
        yield block.getvalue()
    yield struct.pack("!h", -1)


def build(plan: Plan) -> int:
    """All of it, in the database that Django is set up for. Returns the space's id."""
    from accounts.models import Workspace
    from gateway_project.lib.database import connect
    from rag.models import Chunk, Document, Library, Space
    from rag.store import upkeep

    workspace = Workspace.objects.create(name="bench")
    space = Space.objects.create(workspace=workspace, model="bench", dimension=DIMENSION)
    library = Library.objects.create(id=UUID(int=0), workspace=workspace, name="library 0", space=space)
    document = Document.objects.create(
        id=UUID(int=0), workspace=workspace, library=library, title="document 0", sha256=b"0" * 32, size=1,
        metadata={"bucket": 0, "share": 0.5}, language="en", status="ready", live_version=1, chunks=CHUNKS_PER_DOCUMENT,
    )  # fmt: skip
    Chunk.objects.create(
        id=0, workspace=workspace, library=library, document=document, ordinal=10**6, content="", start=0, end=0,
        tokens=WORDS, hash=b"0" * 32,
    )  # fmt: skip
    clock = _Clock()
    make_vectors(plan)
    clock.say("vectors")
    with connect("bench") as connection:
        if plan.rows >= upkeep.GROWN:
            # As it is once it has grown, without moving all that lies in it.
            upkeep.attach(connection, space.pk)
            connection.execute("UPDATE rag_space SET partitioned = true WHERE id = %s", [space.pk])
        fill(plan, space.pk, connection)
        clock.say("rows")
        upkeep.maintain()
        clock.say("indexes")
        connection.execute("VACUUM ANALYZE")
        clock.say("vacuum")
    return int(space.pk)


class _Clock:
    """Says how long each step took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def say(self, what: str) -> None:
        now = time.monotonic()
        print(f"{what}: {now - self._since:.0f} s", flush=True)
        self._since = now
