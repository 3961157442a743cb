"""Cuts a document's text into the passages that are embedded and cited: pure functions, without Django or torch."""

from rag.chunk.cutting import DEFAULTS, chunk
from rag.chunk.piece import Piece, TokenOffsets, embedded_text

__all__ = ["DEFAULTS", "Piece", "TokenOffsets", "chunk", "embedded_text"]
