"""The worker's side: models in memory, and everything that imports torch, which happens with the first use of one.

    for done in engine.current.encode_documents(texts, space.model): …     vectors in bulk, behind queries
    engine.current.tokens(text, model)                                     where a text's tokens are, for chunking

Other processes than the embedding worker use `rag.embedding.client`.
"""

from rag.embedding.engine.core import Done, Engine

__all__ = ["Done", "Engine", "current"]

current = Engine()
