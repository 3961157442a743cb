"""The vector store on PostgreSQL with pgvector. One table, `rag_entry`; how it is parted is in `parts`."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from rag.models import Space
from rag.store import highlighting, nearest, upkeep, wording, writing
from rag.store.base import Entry, Hit, Scope


class PgVector:
    """`VectorStore` by the modules beside this one."""

    def put(self, space: Space, entries: Iterable[Entry]) -> int:
        return writing.put(space, entries)

    def put_staged(self, space: Space, document_id: UUID, version: int, language: str = "") -> int:
        return writing.put_staged(space, document_id, version, language)

    def copy_vectors(self, space: Space, document_id: UUID, version: int) -> int:
        return writing.copy_vectors(space, document_id, version)

    def known_vectors(self, space: Space, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return writing.known_vectors(space, hashes)

    def remove_document(self, document_id: UUID, space: Space | None = None) -> int:
        return writing.remove_document(document_id, space)

    def remove_library(self, library_id: UUID, space: Space) -> int:
        return writing.remove_library(library_id, space)

    def delete_missing(self, space: Space) -> int:
        return writing.delete_missing(space)

    def drop_space(self, space: Space) -> None:
        writing.drop_space(space)

    def count(self, space: Space, library_id: UUID | None = None) -> int:
        return writing.count(space, library_id)

    def search_vector(self, space: Space, vector: bytes, scope: Scope, k: int) -> list[Hit]:
        return nearest.search(space, vector, scope, k)

    def search_text(self, space: Space, text: str, scope: Scope, k: int) -> list[Hit]:
        return wording.search(space, text, scope, k)

    def highlights(self, text: str, passages: Sequence[tuple[str, str]]) -> list[list[tuple[int, int]]]:
        return highlighting.ranges(text, passages)

    def maintain(self) -> None:
        upkeep.maintain()
