"""Entries on their way in and out. All of it takes part in the caller's transaction, on Django's connection."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction

from rag.embedding.vectors import pack
from rag.models import Space
from rag.store import parts
from rag.store.base import Entry
from rag.store.languages import config_of
from rag.store.vectors import Half, check, understand
from rag.store.words import clean

BATCH = 500

_COLUMNS = "part, space_id, workspace_id, library_id, document_id, chunk_id, config, embedding, words"
_INSERT = f"""
INSERT INTO rag_entry ({_COLUMNS})
VALUES (%s, %s, %s, %s, %s, %s, %s, %b::halfvec, rag_words(%s, %s, %s))
"""  # noqa: S608  (constants)
_REPLACED = "DELETE FROM rag_entry WHERE space_id = %s AND document_id = ANY(%s) AND chunk_id = ANY(%s)"

_STAGED = f"""
INSERT INTO rag_entry ({_COLUMNS})
SELECT %(part)s, %(space)s, c.workspace_id, c.library_id, c.document_id, c.id, %(config)s, s.embedding,
    rag_words(%(config)s, c.header, c.content)
FROM rag_chunk c
JOIN rag_stagedchunk s ON s.document_id = c.document_id AND s.version = %(version)s AND s.ordinal = c.ordinal
WHERE c.document_id = %(document)s AND c.workspace_id = %(workspace)s AND s.space_id = %(space)s
    AND s.embedding IS NOT NULL
"""  # noqa: S608  (constants)

# One entry of several with the same hash: they are equal. Each is looked up by its hash, whatever Postgres believes to
# know of tables that have just been filled: hence the OFFSET, which forbids it to turn the lookup into a join.
_EQUAL = """
FROM rag_chunk c JOIN rag_entry e ON e.document_id = c.document_id AND e.chunk_id = c.id AND e.space_id = %(space)s
    AND e.workspace_id = %(workspace)s
WHERE c.workspace_id = %(workspace)s AND c.hash = s.hash OFFSET 0
"""
_COPIED = f"""
UPDATE rag_stagedchunk s SET embedding = (SELECT e.embedding {_EQUAL} LIMIT 1), space_id = %(space)s
WHERE s.document_id = %(document)s AND s.version = %(version)s AND s.embedding IS NULL
    AND EXISTS (SELECT {_EQUAL})
"""  # noqa: S608  (constants)

# `real[]` is what psycopg reads without knowing pgvector's types.
_KNOWN = """
SELECT DISTINCT ON (c.hash) c.hash, e.embedding::vector::real[]
FROM rag_chunk c
JOIN rag_entry e ON e.document_id = c.document_id AND e.chunk_id = c.id AND e.space_id = %(space)s
    AND e.workspace_id = %(workspace)s
WHERE c.workspace_id = %(workspace)s AND c.hash = ANY(%(hashes)s)
"""

_IN_SPACE = "space_id = %s AND workspace_id = %s"


def put(space: Space, entries: Iterable[Entry]) -> int:
    """See `VectorStore.put`."""
    count = 0
    with transaction.atomic(), connection.wrap_database_errors:
        part = parts.hold(space)
        waiting = iter(entries)
        while batch := list(islice(waiting, BATCH)):
            _put(space, part, batch)
            count += len(batch)
    return count


def _put(space: Space, part: int, batch: Sequence[Entry]) -> None:
    # A cursor of psycopg's own, with parameters beside the statement: Django's writes each vector into it as text.
    assert connection.connection is not None  # noqa: S101  (in a transaction)
    with psycopg.Cursor(connection.connection) as cursor:
        understand(cursor)
        ids = [entry.document_id for entry in batch], [entry.chunk_id for entry in batch]
        cursor.execute(_REPLACED, [space.pk, *ids])
        cursor.executemany(_INSERT, [_row(space, part, entry) for entry in batch])


def _row(space: Space, part: int, entry: Entry) -> list[Any]:
    check(entry.vector, space.dimension)
    config = config_of(entry.language)
    keys = [part, space.pk, space.workspace_id, entry.library_id, entry.document_id, entry.chunk_id]
    return [*keys, config, Half(entry.vector), config, clean(entry.header), clean(entry.content)]


def put_staged(space: Space, document_id: UUID, version: int, language: str) -> int:
    """See `VectorStore.put_staged`."""
    named: dict[str, Any] = {
        "space": space.pk, "workspace": space.workspace_id, "document": document_id, "version": version
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        part = parts.hold(space)
        remove_document(document_id, space)
        cursor.execute(_STAGED, {**named, "part": part, "config": config_of(language)})
        return int(cursor.rowcount)


def copy_vectors(space: Space, document_id: UUID, version: int) -> int:
    """See `VectorStore.copy_vectors`."""
    named: dict[str, Any] = {
        "space": space.pk, "workspace": space.workspace_id, "document": document_id, "version": version
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_COPIED, named)
        return int(cursor.rowcount)


def known_vectors(space: Space, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """See `VectorStore.known_vectors`."""
    named: dict[str, Any] = {
        "space": space.pk,
        "workspace": space.workspace_id,
        "hashes": [bytes(each) for each in hashes],
    }
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, named)
        return {bytes(each): pack(numbers) for each, numbers in cursor.fetchall()}


def remove_document(document_id: UUID, space: Space | None) -> int:
    """See `VectorStore.remove_document`."""
    if space is not None:
        return _delete(space, "AND document_id = %s", [document_id])
    with transaction.atomic(), connection.cursor() as cursor:
        parts.hold_all(document_id)
        cursor.execute("DELETE FROM rag_entry WHERE document_id = %s", [document_id])
        return int(cursor.rowcount)


def remove_library(library_id: UUID, space: Space) -> int:
    """See `VectorStore.remove_library`."""
    return _delete(space, "AND library_id = %s", [library_id])


def delete_missing(space: Space) -> int:
    """See `VectorStore.delete_missing`."""
    return _delete(space, "AND NOT EXISTS (SELECT FROM rag_chunk c WHERE c.id = rag_entry.chunk_id)")


def drop_space(space: Space) -> None:
    """See `VectorStore.drop_space`. Its part, if it has one, goes at the next `maintain`."""
    _delete(space)


def count(space: Space, library_id: UUID | None) -> int:
    """See `VectorStore.count`."""
    values: list[Any] = [space.pk, space.workspace_id]
    more = ""
    if library_id is not None:
        more = "AND library_id = %s"
        values.append(library_id)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM rag_entry WHERE {_IN_SPACE} {more}", values)  # noqa: S608  (constants)
        return int(cursor.fetchone()[0])


def _delete(space: Space, more: str = "", values: Sequence[Any] = ()) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        parts.hold(space)
        cursor.execute(
            f"DELETE FROM rag_entry WHERE {_IN_SPACE} {more}",  # noqa: S608  (constants)
            [space.pk, space.workspace_id, *values],
        )
        return int(cursor.rowcount)
