"""What the embedding worker's process does beside its tasks: it serves the models, and makes them ready in time."""

import logging
import threading

from django.conf import settings
from django.db import connection

from rag.embedding import engine
from rag.embedding.errors import EmbeddingError
from rag.embedding.service import Service

logger = logging.getLogger(__name__)


def start() -> Service:
    """Serve on settings.EMBED_SOCKET from now on. Raises OSError."""
    service = Service(settings.EMBED_SOCKET, engine.current)
    service.start()
    threading.Thread(target=_make_ready, name="embedding-start", daemon=True).start()
    return service


def _make_ready() -> None:
    """Settle which model embeds texts, so that the log and /health tell it, and load it if there is a library."""
    try:
        engine.current.chooser.text_default()
        if _has_documents():
            engine.current.describe()
    except EmbeddingError as error:
        logger.warning("texts cannot be embedded yet: %s", error)


def _has_documents() -> bool:
    from rag.models import Document

    try:
        return Document.objects.exists()
    finally:
        connection.close()
