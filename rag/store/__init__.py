"""The vector store: what it does is in `base`; `current` is the one of this installation, on pgvector."""

from rag.store.base import BadVector, Entry, Hit, Scope, VectorStore
from rag.store.pgvector import PgVector

__all__ = ["BadVector", "Entry", "Hit", "Scope", "VectorStore", "current"]

current: VectorStore = PgVector()
