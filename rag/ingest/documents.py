"""One document on its way: its file becomes text, text becomes chunks, chunks get vectors, and all of it is published.

Each step ends in a transaction, and the next worker begins behind the last one that was committed.
"""

import logging
import time
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import connection

from rag.embedding.errors import BadVector, EmbedderAway, EmbeddingError, Overloaded
from rag.extract import ExtractError
from rag.ingest import staging
from rag.ingest.claims import Claim, others_wait
from rag.ingest.embedding import BadPassage, embed_staged
from rag.ingest.lease import Lease, Lost
from rag.ingest.parsing import parse
from rag.ingest.publishing import SpaceChanged, publish
from rag.ingest.spaces import ModelChanged, space_of
from rag.models import Document

logger = logging.getLogger(__name__)

# Errors in a row, without a step forward in between, after which a document has failed; of a model that cannot be
# loaded; and deaths of workers that were at it, of which some must be by chance.
MOST_ERRORS, MOST_LOADS, MOST_DEATHS = 5, 10, 20
# Seconds before the second try, doubled with each, and at most; while the embedding service is away.
PAUSE, LONGEST_PAUSE, AWAY_PAUSE = 2.0, 300.0, 5.0
# Seconds of embedding after which a document makes room for another workspace's.
SLICE = 20.0


class Yielded(Exception):
    """Others wait: the document is queued again, with all that was made of it."""


def process(claim: Claim) -> None:
    """Bring a document as far as it gets. Whatever goes wrong is written to its row."""
    lease = claim.lease
    document = Document.objects.select_related("library__space").filter(pk=claim.id).first()
    if document is None:
        return
    try:
        if document.tries > MOST_DEATHS:
            fail(lease, "poison", "Every worker that was at this document ended before it got anywhere.")
        else:
            _run(document, lease)
    except Lost:
        logger.info("document %s was taken back: cancelled, deleted, or uploaded anew", document.pk)
    except Yielded:
        _again(lease, 0.0, counted=False)
    except ExtractError as error:
        _fail_if_held(lease, error.code, str(error))
    except (EmbedderAway, Overloaded) as error:
        _again(lease, AWAY_PAUSE, counted=False, told=str(error))
    except BadPassage as error:
        _fail_if_held(lease, BadVector.kind, str(error))
    except ModelChanged as error:
        _fail_if_held(lease, "model_changed", str(error))
    except EmbeddingError as error:
        if error.retriable:
            _try_again(document, lease, error.kind, str(error), most=MOST_LOADS)
        else:
            _fail_if_held(lease, error.kind, str(error))
    except FileNotFoundError:
        _fail_if_held(lease, "file_missing", "The uploaded file is gone; upload it again.")
    except Exception as error:
        logger.exception("document %s", document.pk)
        connection.close()  # whatever state it is in
        told = "The database refused it." if isinstance(error, DatabaseError) else "The gateway failed on it."
        _try_again(document, lease, "internal_error", f"{told} The error was logged.", most=MOST_ERRORS)


def _run(document: Document, lease: Lease) -> None:
    ends = time.monotonic() + SLICE

    def make_room() -> None:
        nonlocal ends
        if time.monotonic() > ends:
            ends = time.monotonic() + SLICE
            if others_wait(document.workspace_id):
                raise Yielded

    staged = staging.is_staged(document)
    if not staged:
        staging.begin(document, lease)
    # The model may have to be loaded first.
    space = space_of(document.library)
    if not staged:
        parse(document, lease, space)
    while True:
        staging.bind(document, lease, space)
        embed_staged(document, lease, space, make_room)
        try:
            publish(document, lease, space)
        except SpaceChanged:
            document.library.refresh_from_db()
            space = space_of(document.library)
        else:
            return


def fail(lease: Lease, code: str, told: str) -> None:
    """The document's newest version has failed, until somebody tries again. Raises `Lost`."""
    with lease.transaction() as cursor:
        cursor.execute(
            "UPDATE rag_document SET status = 'failed', error_code = %s, error = %s, lease_owner = '',"
            " leased_until = NULL, next_try_at = NULL, updated_at = now() WHERE id = %s",
            [code[:60], told[:1000], lease.id],
        )


def _fail_if_held(lease: Lease, code: str, told: str) -> None:
    try:
        fail(lease, code, told)
    except Lost:
        logger.info("document %s was taken back before it failed", lease.id)


def _try_again(document: Document, lease: Lease, code: str, told: str, *, most: int) -> None:
    tries = _tries(document.pk)
    if tries >= most:
        _fail_if_held(lease, code, f"{told} It was tried {tries} times."[:1000])
    else:
        _again(lease, min(PAUSE * 2 ** (tries - 1), LONGEST_PAUSE), counted=True, told=told)


def _tries(id: UUID) -> int:
    """How often in a row it was begun without a step forward."""
    return Document.objects.filter(pk=id).values_list("tries", flat=True).first() or 1


def _again(lease: Lease, pause: float, *, counted: bool, told: str = "") -> None:
    """Give the document back, to be taken up after `pause` seconds; `told` is what it waits for."""
    try:
        with lease.transaction() as cursor:
            cursor.execute(
                "UPDATE rag_document SET lease_owner = '', leased_until = NULL, error = %s,"
                " next_try_at = now() + make_interval(secs => %s), tries = greatest(tries - %s, 0), updated_at = now()"
                " WHERE id = %s",
                [told[:1000], pause, 0 if counted else 1, lease.id],
            )
    except Lost:
        logger.info("document %s was taken back while it waited", lease.id)
