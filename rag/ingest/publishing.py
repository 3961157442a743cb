"""Makes a version that has all its vectors the one that is searched: in one transaction, in place of the former one."""

from typing import Any

from django.db import connection, transaction

from rag import store
from rag.ingest.lease import Lease, Lost
from rag.models import Document, Space
from rag.services.gone import tell

_COLUMNS = '"ordinal", "content", "start", "end", "page", "headings", "header", "tokens", "hash"'


class SpaceChanged(Exception):
    """The library went over to another model meanwhile: its new vectors are to be made first."""


def publish(document: Document, lease: Lease, space: Space) -> None:
    """Have the staged version be found, and the former one no more. Raises `Lost`, `SpaceChanged`."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Before the document's row, as whoever deletes the library locks them.
        cursor.execute("SELECT space_id FROM rag_library WHERE id = %s FOR SHARE", [document.library_id])
        bound = cursor.fetchone()
        lease.hold(cursor)
        if bound is None:
            raise Lost
        if bound[0] != space.pk:
            raise SpaceChanged
        cursor.execute("SELECT live_version, language FROM rag_document WHERE id = %s", [document.pk])
        former, language = cursor.fetchone()
        chunks = _replace(cursor, document, space, language)
        cursor.execute(
            "UPDATE rag_document SET status = 'ready', error = '', error_code = '', live_version = %s, chunks = %s,"
            " chunks_done = %s, chunks_total = %s, tries = 0, lease_owner = '', leased_until = NULL,"
            " next_try_at = NULL, updated_at = now() WHERE id = %s",
            [document.version, chunks, chunks, chunks, document.pk],
        )
        if former:
            tell(document.workspace_id, [document.library_id], [document.pk])


def _replace(cursor: Any, document: Document, space: Space, language: str) -> int:
    """Put the staged rows in place of the live ones; how many chunks there are."""
    which = [document.pk, document.version]
    store.current.remove_document(document.pk)
    cursor.execute("DELETE FROM rag_chunk WHERE document_id = %s", [document.pk])
    cursor.execute(
        f"INSERT INTO rag_chunk (workspace_id, library_id, document_id, {_COLUMNS})"  # noqa: S608  (of constants)
        f" SELECT %s, %s, document_id, {_COLUMNS} FROM rag_stagedchunk"
        " WHERE document_id = %s AND version = %s AND embedding IS NOT NULL ORDER BY ordinal",
        [document.workspace_id, document.library_id, *which],
    )
    chunks: int = cursor.rowcount
    entered = store.current.put_staged(space, document.pk, document.version, language)
    cursor.execute("SELECT count(*) FROM rag_stagedchunk WHERE document_id = %s AND version = %s", which)
    if not chunks == entered == cursor.fetchone()[0]:
        raise RuntimeError("a version is not whole")  # never a part of one
    cursor.execute(
        "INSERT INTO rag_documenttext (document_id, text, pages, headings)"
        " SELECT document_id, text, pages, headings FROM rag_stagedtext WHERE document_id = %s AND version = %s"
        " ON CONFLICT (document_id) DO UPDATE"
        " SET text = excluded.text, pages = excluded.pages, headings = excluded.headings",
        which,
    )
    for table in ("rag_stagedchunk", "rag_stagedtext"):
        cursor.execute(f"DELETE FROM {table} WHERE document_id = %s", [document.pk])  # noqa: S608  (one of two names)
    return chunks
