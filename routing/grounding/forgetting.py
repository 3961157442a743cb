"""Takes back answers that quote what is not there any more: documents that were deleted, or (in the cache) changed.

Nobody would be given them: what is found for the same question now is part of a cached answer's key, and what is kept
for an idempotency key, or with a request, is only read while its documents are there. But what was deleted shall be
gone.
"""

import logging
from uuid import UUID

import orjson

from analytics import content
from gateway_project.lib import database
from routing import snapshot
from routing.cache import stored
from routing.cache.answer import KeptAnswer
from routing.cache.lookup import current
from routing.idempotency import store

logger = logging.getLogger(__name__)

ANNOUNCED = "documents"
# Documents that one announcement names (Postgres takes 8,000 bytes); where more are gone, every answer that quotes any
# document is taken back.
NAMED = 100


class Quotes:
    """Whether an answer quotes one of some documents, or, where none are named, any."""

    def __init__(self, documents: frozenset[str]) -> None:
        self.documents = documents if len(documents) <= NAMED else frozenset[str]()

    def __call__(self, answer: KeptAnswer) -> bool:
        return bool(answer.documents) and (not self.documents or not self.documents.isdisjoint(answer.documents))


def forget(workspace_id: UUID, _libraries: frozenset[UUID], documents: frozenset[UUID]) -> None:
    """They are gone: in this process, in every other process, in Postgres and in Redis.

    For `services.on_documents_gone`. Raises `ServiceUnavailable` where Redis is away.
    """
    quotes = Quotes(frozenset(map(str, documents)))
    current.forget(str(workspace_id), quotes)
    snapshot.announce(ANNOUNCED, orjson.dumps([str(workspace_id), sorted(quotes.documents)]).decode())
    with database.connect("gateway documents") as connection:
        store.forget(connection, workspace_id)
        content.delete_quoting(connection, workspace_id, documents)
    stored.remove(str(workspace_id), None, quotes)


def hear(announced: set[str]) -> None:
    """Another process, or this one, said so. For the snapshot's listener."""
    for text in announced:
        try:
            workspace_id, documents = orjson.loads(text)
            quotes = Quotes(frozenset(documents))
        except (TypeError, ValueError):
            logger.error("documents were announced as gone in words of another version: all answers are forgotten")
            current.clear()
        else:
            current.forget(workspace_id, quotes)


def start() -> None:
    """Follow what other processes announce. To be called once, before the snapshot's `start`."""
    snapshot.hear(ANNOUNCED, hear, after_silence=current.clear)
