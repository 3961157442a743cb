"""The rows of a version on its way: `StagedText` and `StagedChunk`. They are there together, or not at all."""

from collections.abc import Iterable, Iterator
from typing import Any

from rag.chunk import Piece
from rag.extract import Extracted
from rag.ingest.lease import Lease
from rag.models import Document, Space, StagedText

_COPY = """
COPY rag_stagedchunk
    (document_id, version, ordinal, content, start, "end", page, headings, header, tokens, hash, space_id)
FROM STDIN
"""
MOST_NOTES, NOTE_LENGTH = 50, 300


def is_staged(document: Document) -> bool:
    """Whether the newest version was parsed already."""
    return StagedText.objects.filter(document=document, version=document.version).exists()


def begin(document: Document, lease: Lease) -> None:
    """Its file is being read now. Raises `Lost`."""
    with lease.transaction() as cursor:
        _clear(cursor, document)
        cursor.execute(
            "UPDATE rag_document SET status = 'parsing', error = '', chunks_total = 0, chunks_done = 0,"
            " updated_at = now() WHERE id = %s",
            [document.pk],
        )


def stage(document: Document, lease: Lease, space: Space, extracted: Extracted, pieces: list[Piece]) -> None:
    """Enter the text and its chunks; the document waits for vectors from now on. Raises `Lost`."""
    with lease.transaction() as cursor:
        _clear(cursor, document)
        StagedText.objects.create(
            document=document,
            version=document.version,
            text=extracted.text,
            pages=list(extracted.pages),
            headings=[[heading.offset, heading.level, heading.title] for heading in extracted.headings],
        )
        with cursor.copy(_COPY) as copy:
            for row in _rows(document, space, pieces):
                copy.write_row(row)
        cursor.execute(
            "UPDATE rag_document SET status = 'embedding', title = %s, language = %s, media_type = %s, pages = %s,"
            " notes = %s, chunks_total = %s, chunks_done = 0, tries = 0, updated_at = now() WHERE id = %s",
            [
                document.title,
                document.language[:10],
                (extracted.media_type or document.media_type)[:200],
                len(extracted.pages) or None,
                [note[:NOTE_LENGTH] for note in extracted.notes[:MOST_NOTES]],
                len(pieces),
                document.pk,
            ],
        )


def bind(document: Document, lease: Lease, space: Space) -> None:
    """Have the staged chunks wait for vectors of `space`; those of another model are dropped. Raises `Lost`."""
    with lease.transaction() as cursor:
        cursor.execute(
            "UPDATE rag_stagedchunk SET embedding = NULL, space_id = %s"
            " WHERE document_id = %s AND version = %s AND space_id IS DISTINCT FROM %s",
            [space.pk, document.pk, document.version, space.pk],
        )
        count_done(cursor, document)


def count_done(cursor: Any, document: Document) -> None:
    """Write down how far it is. Each such step forward lets the counting of failures begin anew."""
    cursor.execute(
        "UPDATE rag_document SET status = 'embedding', error = '', updated_at = now(), chunks_done ="
        " (SELECT count(embedding) FROM rag_stagedchunk WHERE document_id = %s AND version = %s) WHERE id = %s",
        [document.pk, document.version, document.pk],
    )


def _clear(cursor: Any, document: Document) -> None:
    for table in ("rag_stagedchunk", "rag_stagedtext"):
        cursor.execute(f"DELETE FROM {table} WHERE document_id = %s", [document.pk])  # noqa: S608  (one of two names)


def _rows(document: Document, space: Space, pieces: Iterable[Piece]) -> Iterator[tuple[Any, ...]]:
    for piece in pieces:
        yield (
            document.pk, document.version, piece.ordinal, piece.content, piece.start, piece.end, piece.page,
            [heading[:300] for heading in piece.headings], piece.header[:1000], piece.tokens, piece.hash, space.pk,
        )  # fmt: skip
