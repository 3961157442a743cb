"""A library's way to another model: its chunks get a second vector, in another space, and all at once that one counts.

Documents that are published meanwhile have vectors of the old model only, and are found by the next look for what is
missing; the switch is made when that look, with the library's row locked, finds nothing.
"""

import logging
import time
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from rag import store
from rag.chunk import embedded_text
from rag.embedding.errors import BadVector, EmbeddingError, TooLong
from rag.ingest.claims import Claim, others_wait
from rag.ingest.embedding import encoded
from rag.ingest.lease import Lease, Lost
from rag.ingest.spaces import space_for
from rag.models import Chunk, Entry, Reembedding, Space
from rag.services.gone import tell
from rag.store import Entry as StoreEntry

logger = logging.getLogger(__name__)

WINDOW, TRANSACTION = 2048, 256
SLICE = 20.0


def reembed(claim: Claim) -> None:
    """Bring a re-embedding on for a while. Whatever goes wrong is written to its row."""
    lease = claim.lease
    running = Reembedding.objects.select_related("library").filter(pk=claim.id).first()
    if running is None:
        return
    try:
        _run(running, lease, time.monotonic() + SLICE)
    except Lost:
        logger.info("re-embedding %s was cancelled, or its library deleted", claim.id)
    except (BadVector, TooLong) as error:
        _end(lease, Reembedding.State.FAILED, str(error))
    except EmbeddingError as error:
        if error.retriable:
            _give_back(lease, str(error))
        else:
            _end(lease, Reembedding.State.FAILED, str(error))
    except Exception:
        logger.exception("re-embedding %s", claim.id)
        connection.close()
        _end(lease, Reembedding.State.FAILED, "The gateway failed on it. The error was logged.")


def _run(running: Reembedding, lease: Lease, ends: float) -> None:
    library_id, workspace_id = running.library_id, running.library.workspace_id
    space = space_for(workspace_id, running.model)
    _note(running, lease, space)
    while not _switch(running, lease, space):
        window = list(_missing(library_id, space)[:WINDOW])
        for start in range(0, len(window), TRANSACTION):
            _embed(lease, space, window[start : start + TRANSACTION])
            if time.monotonic() > ends and others_wait(workspace_id):
                _give_back(lease, "")
                return


def _missing(library_id: UUID, space: Space) -> QuerySet[Chunk]:
    """The library's chunks that have no vector in `space`."""
    there = Entry.objects.filter(document_id=OuterRef("document_id"), chunk_id=OuterRef("id"), space_id=space.pk)
    return Chunk.objects.filter(library_id=library_id).exclude(Exists(there)).order_by("id")


def _embed(lease: Lease, space: Space, chunks: list[Chunk]) -> None:
    """Enter vectors for these chunks. Those whose document went meanwhile are left out."""
    vectors = dict(store.current.known_vectors(space, list({bytes(chunk.hash) for chunk in chunks})))
    new = {bytes(chunk.hash): chunk for chunk in chunks if bytes(chunk.hash) not in vectors}
    hashes = list(new)
    texts = [embedded_text(new[each].header, new[each].content) for each in hashes]
    if texts:
        with encoded(texts, space.model) as batches:
            for done in batches:
                lease.check()
                vectors.update(zip((hashes[index] for index in done.indices), done.vectors, strict=True))
    with lease.transaction() as cursor:
        # Deleting a document waits for this, and a new version of it, too: then its chunks are not these.
        ids = sorted({chunk.document_id for chunk in chunks})
        cursor.execute("SELECT id, language FROM rag_document WHERE id = ANY(%s) ORDER BY id FOR SHARE", [ids])
        languages = dict(cursor.fetchall())
        cursor.execute(
            "UPDATE rag_reembedding SET done = least(total, done + %s) WHERE id = %s", [len(chunks), lease.id]
        )
        there = set(Chunk.objects.filter(pk__in=[chunk.pk for chunk in chunks]).values_list("pk", flat=True))
        store.current.put(
            space,
            [
                StoreEntry(
                    chunk_id=chunk.pk,
                    document_id=chunk.document_id,
                    library_id=chunk.library_id,
                    vector=vectors[bytes(chunk.hash)],
                    content=chunk.content,
                    header=chunk.header,
                    language=languages[chunk.document_id],
                )
                for chunk in chunks
                if chunk.pk in there and chunk.document_id in languages
            ],
        )


def _note(running: Reembedding, lease: Lease, space: Space) -> None:
    """Write down how far it is. Raises `Lost`."""
    with lease.transaction() as cursor:
        total = Chunk.objects.filter(library_id=running.library_id).count()
        cursor.execute(
            "UPDATE rag_reembedding SET new_space_id = %s, total = %s, done = %s, error = '' WHERE id = %s",
            [space.pk, total, min(total, store.current.count(space, running.library_id)), running.pk],
        )


def _switch(running: Reembedding, lease: Lease, space: Space) -> bool:
    """Have the library searched by the new vectors, if none is missing. Raises `Lost`."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Nothing is published to the library until this is committed (publishing.py).
        cursor.execute("SELECT space_id FROM rag_library WHERE id = %s FOR NO KEY UPDATE", [running.library_id])
        found = cursor.fetchone()
        lease.hold(cursor)
        if found is None:
            raise Lost
        if _missing(running.library_id, space).exists():
            return False
        cursor.execute(
            "UPDATE rag_library SET space_id = %s, model = %s, updated_at = now() WHERE id = %s",
            [space.pk, running.model, running.library_id],
        )
        cursor.execute(
            "UPDATE rag_reembedding SET state = 'done', done = total, old_space_id = %s, lease_owner = '',"
            " leased_until = NULL, finished_at = now() WHERE id = %s",
            [found[0], running.pk],
        )
        # What is found, and so what is answered, may differ from now on.
        tell(running.library.workspace_id, [running.library_id])
    return True


def _give_back(lease: Lease, told: str) -> None:
    """Let another turn, or another worker, go on; `told` is what it waits for."""
    try:
        with lease.transaction() as cursor:
            cursor.execute(
                "UPDATE rag_reembedding SET lease_owner = '', error = %s,"
                " leased_until = CASE WHEN %s THEN now() + interval '10 seconds' END WHERE id = %s",
                [told[:1000], bool(told), lease.id],
            )
    except Lost:
        logger.info("re-embedding %s was cancelled while it waited", lease.id)


def _end(lease: Lease, state: Reembedding.State, told: str) -> None:
    try:
        with lease.transaction() as cursor:
            cursor.execute(
                "UPDATE rag_reembedding SET state = %s, error = %s, lease_owner = '', leased_until = NULL,"
                " finished_at = now() WHERE id = %s",
                [state, told[:1000], lease.id],
            )
    except Lost:
        logger.info("re-embedding %s was cancelled before it failed", lease.id)
