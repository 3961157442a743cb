"""Tells others when what they may have quoted is no longer what a library says: deleted, or a new version."""

import logging
from collections.abc import Callable, Collection
from uuid import UUID

from django.db import transaction

logger = logging.getLogger(__name__)

# With the workspace, and the documents concerned; without any, all of those libraries are.
Gone = Callable[[UUID, frozenset[UUID], frozenset[UUID]], None]

_callbacks: list[Gone] = []


def on_documents_gone(callback: Gone) -> None:
    """Have `callback(workspace_id, library_ids, document_ids)` called after each such change's commit.

    It is called in the process and thread of the change: the web's, or a worker's. No document ids: the libraries are
    gone with all that they held.
    """
    if callback not in _callbacks:
        _callbacks.append(callback)


def tell(workspace_id: UUID, library_ids: Collection[UUID], document_ids: Collection[UUID] = ()) -> None:
    """Call the callbacks when the current transaction is committed; one that fails is logged, and stops no other."""
    libraries, documents = frozenset(library_ids), frozenset(document_ids)

    def call() -> None:
        for callback in _callbacks:
            try:
                callback(workspace_id, libraries, documents)
            except Exception:
                logger.exception("a listener could not be told of documents that are gone")

    transaction.on_commit(call)
