"""A library's documents are cut again, as the library is set by now; rag/ingest/ does the work."""

from django.db import connection, transaction

from rag.models import Library, Status
from rag.services.actor import Actor
from rag.services.hints import work_is_there

# Those that are queued are cut by the new settings in any case, and one that failed is tried again by itself.
_QUEUE = """
WITH chosen AS (SELECT id FROM rag_document WHERE library_id = %s AND status = ANY(%s) ORDER BY id FOR UPDATE)
UPDATE rag_document SET status = %s, cancelled = false, error = '', error_code = '', tries = 0, lease_owner = '',
    leased_until = NULL, next_try_at = now(), chunks_done = 0, chunks_total = 0, updated_at = now()
WHERE id IN (SELECT id FROM chosen) RETURNING id
"""


@transaction.atomic
def rechunk(actor: Actor, library: Library) -> int:
    """Queue the library's documents to be read and cut anew; how many they are.

    Each is searched as it was until its new chunks are ready. Passages that stay the same keep their vectors.
    """
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, [library.pk, [Status.READY, Status.PARSING, Status.EMBEDDING], Status.QUEUED])
        queued = [id for (id,) in cursor.fetchall()]
        for table in ("rag_stagedchunk", "rag_stagedtext"):
            cursor.execute(f"DELETE FROM {table} WHERE document_id = ANY(%s)", [queued])  # noqa: S608  (one of two names)
    actor.record("library.rechunked", library, new={"documents": len(queued)})
    if queued:
        work_is_there(queued[0])
    return len(queued)
