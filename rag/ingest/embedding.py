"""Gives staged chunks their vectors. While a batch is embedded, the one before it is written by another thread."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DataError, connection

from rag import store
from rag.chunk import embedded_text
from rag.embedding.errors import BadVector, TooLong
from rag.embedding.vectors import halfvec_binary
from rag.ingest import staging
from rag.ingest.lease import Lease, Lost
from rag.models import Document, Space, StagedChunk

if TYPE_CHECKING:
    from rag.embedding.engine import Done

# Chunks that are handed to the engine at once: enough to sort them by length, few enough to hold.
WINDOW = 4096
# Batches of vectors that may wait to be written; chunks that one transaction takes of them, and seconds in which they
# gather, so that the database's work is little beside the model's.
WAITING, TRANSACTION, GATHERED = 64, 512, 0.5

_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
# By their ids alone: with `=` Postgres may read all of the document's chunks, if it believes these to be few.
_WRITE = """
UPDATE rag_stagedchunk s SET embedding = (SELECT m.embedding FROM rag_made m WHERE m.id = s.id)
WHERE s.id = ANY(%s) AND s.embedding IS NULL
    AND s.document_id IS NOT DISTINCT FROM %s AND s.version IS NOT DISTINCT FROM %s
"""
Made = tuple[Sequence[int], Sequence[bytes]]


class BadPassage(Exception):
    """The model made no usable vector of a passage; it stays retriable, with another model or revision."""


def embed_staged(document: Document, lease: Lease, space: Space, make_room: Callable[[], None]) -> None:
    """Embed whatever has no vector yet; `make_room` may raise between two batches. Raises EmbeddingError, Lost."""
    with lease.transaction() as cursor:
        if store.current.copy_vectors(space, document.pk, document.version):
            staging.count_done(cursor, document)
            cursor.execute("UPDATE rag_document SET tries = 0 WHERE id = %s", [document.pk])
    while window := list(_without_vector(document)[:WINDOW]):
        _embed(document, lease, space, window, make_room)


def _without_vector(document: Document) -> Any:
    rows = StagedChunk.objects.filter(document=document, version=document.version, embedding=None)
    return rows.order_by("ordinal").values_list("id", "hash", "header", "content", "ordinal", "page")


def _embed(
    document: Document, lease: Lease, space: Space, window: Sequence[Any], make_room: Callable[[], None]
) -> None:
    """Embed the chunks of a window, equal ones once."""
    same: dict[bytes, list[int]] = {}
    first: list[Any] = []
    for row in window:
        ids = same.setdefault(bytes(row[1]), [])
        if not ids:
            first.append(row)
        ids.append(row[0])
    writer = Writer(document, lease)
    try:
        with writer:
            texts = [embedded_text(row[2], row[3]) for row in first]
            with encoded(texts, space.model) as batches:
                for done in batches:
                    for index, vector in zip(done.indices, done.vectors, strict=True):
                        ids = same[bytes(first[index][1])]
                        writer.add(ids, [vector] * len(ids))
                    make_room()
    except (BadVector, TooLong) as error:
        raise BadPassage(_worded(error, space, first[error.index])) from None


@contextmanager
def encoded(texts: Sequence[str], model: str) -> "Iterator[Iterator[Done]]":
    """Batches of vectors of these texts; what is left of them is given up with the block. Raises EmbeddingError."""
    from rag.embedding import engine

    batches = engine.current.encode_documents(texts, model)
    try:
        yield batches
    finally:
        batches.close()  # type: ignore[attr-defined]  # a generator, however it is typed


def _worded(error: BadVector | TooLong, space: Space, row: Any) -> str:
    where = f"passage {row[4] + 1}" + (f" (page {row[5]})" if row[5] else "")
    if isinstance(error, TooLong):
        return f"{where.capitalize()} has {error.tokens} tokens; {space.model} takes {error.limit}."
    return f"{space.model} made no usable vector of {where}: it holds what is no number, or is empty."


class Writer:
    """Writes vectors in a thread of its own, in transactions that hold the lease. What fails there is raised here."""

    def __init__(self, document: Document, lease: Lease) -> None:
        self._document, self._lease = document, lease
        self._made: queue.Queue[Made | None] = queue.Queue(WAITING)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"vectors-{document.pk}", daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Also after an error: what was made until then is kept.
        self._made.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def add(self, ids: Sequence[int], vectors: Sequence[bytes]) -> None:
        """Vectors of staged chunks. Waits while too many wait to be written."""
        if self._failure is not None:
            raise self._failure
        self._lease.check()
        self._made.put((ids, vectors))

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
        except BaseException as error:  # noqa: BLE001  (raised in the thread that waits for it)
            self._failure = error
            while self._made.get() is not None:  # so that nobody waits for room
                pass
        finally:
            connection.close()  # into the pool

    def _write_next(self) -> bool:
        """Write what has come until now. False after the last."""
        ids: list[int] = []
        vectors: list[bytes] = []
        item = self._made.get()
        ends = time.monotonic() + GATHERED
        while item is not None:
            ids += item[0]
            vectors += item[1]
            if len(ids) >= TRANSACTION:
                break
            try:
                item = self._made.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                break
        if ids:
            write(self._document, self._lease, ids, vectors)
        return item is not None


def write(document: Document, lease: Lease, ids: Sequence[int], vectors: Sequence[bytes]) -> None:
    """Enter vectors of staged chunks, and how far the document is. Raises `Lost`, `BadPassage`."""
    try:
        with lease.transaction() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE IF NOT EXISTS rag_made (id bigint, embedding halfvec) ON COMMIT DELETE ROWS"
            )
            with cursor.copy("COPY rag_made FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(_copied(ids, vectors))
            cursor.execute(_WRITE, [list(ids), document.pk, document.version])
            if cursor.rowcount != len(ids):
                raise Lost
            cursor.execute(
                "UPDATE rag_document SET chunks_done = chunks_done + %s, tries = 0, updated_at = now() WHERE id = %s",
                [len(ids), document.pk],
            )
    except DataError:
        raise BadPassage("The model made a vector that holds what is no number.") from None


def _copied(ids: Sequence[int], vectors: Sequence[bytes]) -> bytes:
    """Rows of (bigint, halfvec) in Postgres's binary format."""
    parts = [_COPY_HEAD]
    for id, vector in zip(ids, vectors, strict=True):
        half = halfvec_binary(vector)
        parts += (b"\0\2\0\0\0\x08", id.to_bytes(8, "big"), len(half).to_bytes(4, "big"), half)
    return b"".join([*parts, _COPY_END])
