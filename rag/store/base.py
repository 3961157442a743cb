"""What a vector store does for the library. `rag.store.current` is the one of this installation.

A **space** holds the vectors of one workspace that may be compared, made by one revision of one model. A chunk has at
most one entry in a space; while its library changes its model, one in each of two. Vectors are bytes, float32, little
endian, as `rag.embedding.client` makes them. Ids that are handed in are the caller's own: every statement also names
the workspace of the space.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from rag.filters import Condition
from rag.models import Space


class BadVector(ValueError):
    """A vector of another length than its space's, or with a component that is no finite number, or all zero."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is stored of a chunk. `language` is ISO 639-1, empty where unknown; it chooses how words are stemmed."""

    chunk_id: int
    document_id: UUID
    library_id: UUID
    vector: bytes
    content: str
    header: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. `score` is higher for better ones: cosine similarity, or 0 to 1 for text."""

    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Scope:
    """Which entries may be found: those of `libraries`, of documents that `condition` keeps.

    `everything` says that `libraries` are all that have entries in the space, so that they need not be told apart.
    """

    libraries: Sequence[UUID]
    condition: Condition | None = None
    everything: bool = False


class VectorStore(Protocol):
    """Keeps entries and finds them. Writing takes part in the caller's transaction, on Django's connection."""

    def put(self, space: Space, entries: Iterable[Entry]) -> int:
        """Add entries, or replace those of the same chunks; returns how many. Raises BadVector."""

    def put_staged(self, space: Space, document_id: UUID, version: int, language: str = "") -> int:
        """Add an entry for each of the document's `Chunk` rows, from the `StagedChunk` of that version with the same
        ordinal, whose vector must be there. Returns how many; vectors do not leave the database.
        """

    def copy_vectors(self, space: Space, document_id: UUID, version: int) -> int:
        """Give staged chunks of that version the vectors that equal chunks (by hash) already have in the space.

        Returns how many were found, of those that had none.
        """

    def known_vectors(self, space: Space, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The vectors that chunks with these hashes already have in the space, by hash."""

    def remove_document(self, document_id: UUID, space: Space | None = None) -> int:
        """Remove a document's entries, in one space or in all. (Deleting the row does so by itself.)"""

    def remove_library(self, library_id: UUID, space: Space) -> int:
        """Remove a library's entries from a space: what is left of its old model, or of one that was given up."""

    def delete_missing(self, space: Space) -> int:
        """Remove entries whose chunk is gone. Returns how many."""

    def drop_space(self, space: Space) -> None:
        """Remove all of a space's entries. The row of the space stays."""

    def count(self, space: Space, library_id: UUID | None = None) -> int:
        """How many entries a space has, or a library in it. Reads all of them."""

    def search_vector(self, space: Space, vector: bytes, scope: Scope, k: int) -> list[Hit]:
        """The `k` entries nearest to `vector`, best first. Raises BadVector."""

    def search_text(self, space: Space, text: str, scope: Scope, k: int) -> list[Hit]:
        """The `k` entries that match the words of `text` best, best first.

        Any text is a query: words (more of them are better, rare ones most), "phrases" that must occur, and -words
        that must not. One without words finds nothing.
        """

    def highlights(self, text: str, passages: Sequence[tuple[str, str]]) -> list[list[tuple[int, int]]]:
        """Where the words of a query occur in each passage (its content and its language): ranges of characters."""

    def maintain(self) -> None:
        """Give spaces that have grown an index of their own, take it from those that shrank. Never stops a search.

        Outside a transaction, on one worker at a time.
        """
