"""A search as both APIs take it: checked, run, and shown."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway_project.lib.schemas import parse
from rag.schemas import SearchIn, show_found

if TYPE_CHECKING:
    from rag.retrieve import Found, Query


def search(
    workspace_id: UUID, data: SearchIn | Mapping[str, Any], libraries: list[str] | None = None
) -> dict[str, Any]:
    """What `data` finds in the workspace; `libraries` in place of those that it names.

    Blocking. Raises `InvalidRequest` naming what is wrong, `NotFound` for a library that is not there.
    """
    from rag import retrieve

    asked = parse(SearchIn, data)
    query = retrieve.Query(
        text=asked.query,
        libraries=asked.libraries if libraries is None else libraries,
        top_k=asked.top_k,
        filters=asked.filters,
        mode=asked.mode,
        rerank=asked.rerank,
    )
    return show_found(asked.query, look_up(workspace_id, query))


def look_up(workspace_id: UUID, query: "Query") -> "Found":
    """`retrieve.search`; where it finds nothing it says how much is still on its way."""
    from rag import retrieve, shelf

    found = retrieve.search(workspace_id, query)
    if found.results or not (count := shelf.on_the_way(workspace_id, query.libraries)):
        return found
    told = "1 document is still on its way." if count == 1 else f"{count} documents are still on their way."
    return replace(found, note=" ".join(filter(None, [found.note, told])))


def simple_search(workspace_id: UUID, query: str, limit: int) -> dict[str, Any]:
    """What `POST /search` answers: the passages with what is known of their documents."""
    from rag import retrieve
    from rag.models import Document

    found = retrieve.search(workspace_id, retrieve.Query(text=query, libraries=[], top_k=limit))
    ids = {result.document_id for result in found.results}
    metadata = dict(Document.objects.filter(pk__in=ids).values_list("pk", "metadata"))
    documents = [
        {
            "id": str(result.document_id),
            "content": result.content,
            "metadata": {
                **metadata.get(result.document_id, {}),
                "title": result.title,
                "source": result.source or None,
                "library": result.library,
                "chunk_id": str(result.chunk_id),
                "page": result.page,
            },
            "score": round(result.score, 6),
        }
        for result in found.results
    ]
    return {"documents": documents, "query": query, "count": len(documents)}
