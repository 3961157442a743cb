"""A passage, and what of it is embedded."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# The offsets, in characters, of a text's tokens.
TokenOffsets = Callable[[str], Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Piece:
    """`content` is `text[start:end]` of the document. `header` is embedded before it, and never part of a citation."""

    ordinal: int
    content: str = field(repr=False)
    start: int
    end: int
    # From 1; None where the format has no pages.
    page: int | None
    # The titles of the headings above it, outermost first.
    headings: tuple[str, ...]
    header: str = field(repr=False)
    # Of what is embedded.
    tokens: int
    # SHA-256 of what is embedded: the same passage needs no second embedding.
    hash: bytes = field(repr=False)


def embedded_text(header: str, content: str) -> str:
    """What a model is given of a passage."""
    return f"{header}\n{content}" if header else content


def fingerprint(header: str, content: str) -> bytes:
    """SHA-256 of what is embedded."""
    return hashlib.sha256(embedded_text(header, content).encode()).digest()
