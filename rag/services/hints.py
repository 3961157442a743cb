"""Tells the worker that there is something to do. Postgres knows what; a lost hint costs seconds."""

import logging
from uuid import UUID

from django.db import transaction

logger = logging.getLogger(__name__)


def work_is_there(document_id: UUID) -> None:
    """Hint at a document, or a library's re-embedding, once the current transaction is committed."""

    def send() -> None:
        from rag.tasks import process_document

        try:
            # One that waited for a busy worker is of no use to anybody: the beat hints again.
            process_document.apply_async((str(document_id),), expires=60, retry=False)
        except Exception:  # noqa: BLE001  (whatever a broker may raise: the row is there)
            logger.warning("the broker took no hint at document %s; the beat will find it", document_id)

    transaction.on_commit(send)
