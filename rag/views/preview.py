"""A document's text as its page shows it: chunk by chunk, a few at a time, never as anything but text."""

import json
from dataclasses import dataclass
from typing import Any

from rag import queries
from rag.models import Chunk, Document

# Chunks on one page: a screen or two of text, however long the document is.
CHUNKS = 25


@dataclass(frozen=True)
class Shown:
    """A chunk: the part that it shares with the one before, and the rest."""

    chunk: Chunk
    shared: str
    rest: str


def of(document: Document, at: str) -> dict[str, Any]:
    """The chunks from the one that holds the text's character `at`, and where the next page begins. Two queries."""
    offset = int(at) if at.isascii() and at.isdecimal() and len(at) < 10 else 0
    found = queries.chunks_of(document)
    rows = list(found.filter(end__gt=offset)[: CHUNKS + 1])
    shown, following = rows[:CHUNKS], rows[CHUNKS:]
    before = None
    if shown and shown[0].ordinal:
        before = found.filter(ordinal=shown[0].ordinal - 1).values_list("end", flat=True).first()
    return {
        "chunks": _split(shown, before or 0),
        "next_at": following[0].end - 1 if following else None,
        "at": offset,
    }


def _split(chunks: list[Chunk], end: int) -> list[Shown]:
    shown = []
    for chunk in chunks:
        shared = max(0, min(end, chunk.end) - chunk.start)
        shown.append(Shown(chunk, chunk.content[:shared], chunk.content[shared:]))
        end = max(end, chunk.end)
    return shown


def as_json(metadata: dict[str, Any]) -> str:
    """Metadata as one edits it; empty where there is none."""
    return json.dumps(metadata, indent=2, ensure_ascii=False) if metadata else ""
