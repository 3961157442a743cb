"""`/api/libraries`: libraries and their documents, for people and their tools."""

from typing import Any, Literal

import orjson
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.access import Action, Caller, get_or_404, require
from accounts.auth import api_auth
from gateway_project.lib.errors import InvalidRequest, NotFound
from gateway_project.lib.pagination import ListOf, PageQuery, paginate
from gateway_project.lib.schemas import Strict
from rag import queries, searching, services, uploads
from rag.downloads import as_file
from rag.models import Document, Library
from rag.schemas import (
    DocumentOut,
    FilledTitle,
    FoundOut,
    LibraryChange,
    LibraryOut,
    Metadata,
    NewLibrary,
    RechunkOut,
    ReembeddingOut,
    ReembedIn,
    SearchIn,
    Uploaded,
    show_document,
    show_reembedding,
)
from rag.services import Actor

router = Router(auth=api_auth, tags=["Libraries"])


class Authenticated(HttpRequest):
    """A request that `api_auth` let in."""

    auth: Caller


# --- Libraries -----------------------------------------------------------------------------------


@router.get("", response=ListOf[LibraryOut], summary="List libraries")
def list_libraries(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    """`default` is there in every workspace."""
    workspace_id = request.auth.workspace.pk
    services.default_library(workspace_id)
    found = paginate(queries.libraries(workspace_id), limit=page.limit, cursor=page.cursor)
    return {"data": queries.shown_libraries(found.data), "next_cursor": found.next_cursor}


@router.post("", response={201: LibraryOut}, summary="Create a library")
def create_library(request: Authenticated, payload: NewLibrary) -> Status[dict[str, Any]]:
    """Its model is settled with its first document, and must be one that can be used here."""
    require(request.auth, Action.USE_LIBRARIES)
    return Status(201, _show(services.create_library(Actor.of(request.auth), payload)))


@router.post("/search", response=FoundOut, summary="Search in libraries")
def search(request: Authenticated, payload: SearchIn) -> dict[str, Any]:
    """In all of the workspace's, or in those that are named."""
    return searching.search(request.auth.workspace.pk, payload)


@router.get("/{library_id}", response=LibraryOut, summary="Describe a library")
def get_library(request: Authenticated, library_id: str) -> dict[str, Any]:
    return _show(_library(request, library_id))


@router.patch("/{library_id}", response=LibraryOut, summary="Change a library")
def change_library(request: Authenticated, library_id: str, payload: LibraryChange) -> dict[str, Any]:
    """How chunks are made (`chunk_tokens`, `overlap`, `contextual_header`, `language`) holds for what is ingested from
    now on; `…/rechunk` cuts the documents that are there again.
    """
    library = _library(request, library_id, change=True)
    return _show(services.change_library(Actor.of(request.auth), library, payload))


@router.delete("/{library_id}", response={204: None}, summary="Delete a library")
def delete_library(request: Authenticated, library_id: str) -> Status[None]:
    """With its documents, their text, vectors and files, also those that are on their way."""
    services.delete_library(Actor.of(request.auth), _library(request, library_id, change=True))
    return Status(204, None)


@router.post("/{library_id}/rechunk", response={202: RechunkOut}, summary="Cut a library's documents again")
def rechunk(request: Authenticated, library_id: str) -> Status[dict[str, Any]]:
    """As the library is set by now. Each document is searched as it was until its new chunks are ready."""
    library = _library(request, library_id, change=True)
    return Status(202, {"documents": services.rechunk(Actor.of(request.auth), library)})


@router.post("/{library_id}/reembed", response={202: ReembeddingOut}, summary="Move a library to another model")
def reembed(request: Authenticated, library_id: str, payload: ReembedIn) -> Status[dict[str, Any]]:
    """The new vectors are made beside the old ones, which are searched until all are there."""
    library = _library(request, library_id, change=True)
    return Status(202, show_reembedding(services.reembed(Actor.of(request.auth), library, payload.model)))


@router.post("/{library_id}/reembed/cancel", response=ReembeddingOut, summary="Give up a re-embedding")
def cancel_reembedding(request: Authenticated, library_id: str) -> dict[str, Any]:
    """The library stays as it is."""
    library = _library(request, library_id, change=True)
    return show_reembedding(services.cancel_reembedding(Actor.of(request.auth), library))


@router.post(
    "/{library_id}/reembed/rollback", response={202: ReembeddingOut}, summary="Go back to a library's former model"
)
def rollback_reembedding(request: Authenticated, library_id: str) -> Status[dict[str, Any]]:
    """Vectors of the former model are kept for a week, so that this takes no longer than what was added since."""
    library = _library(request, library_id, change=True)
    return Status(202, show_reembedding(services.rollback_reembedding(Actor.of(request.auth), library)))


def _library(request: Authenticated, library_id: str, *, change: bool = False) -> Library:
    if change:
        require(request.auth, Action.USE_LIBRARIES)
    return get_or_404(Library.objects.select_related("space"), request.auth, library_id)


def _show(library: Library) -> dict[str, Any]:
    return queries.shown_libraries([library])[0]


# --- Documents -----------------------------------------------------------------------------------


class DocumentQuery(PageQuery):
    status: Literal["queued", "parsing", "embedding", "ready", "failed", "waiting"] | None = Field(
        None, description="`waiting`: whatever is on its way."
    )
    search: str = Field("", max_length=200, description="Part of a title or source.")


class DocumentChange(Strict):
    title: FilledTitle | None = None
    metadata: Metadata | None = None


class ChunkOut(Schema):
    id: str
    ordinal: int
    content: str
    start: int
    end: int
    page: int | None
    headings: list[str]
    header: str = Field(description="What is embedded before the content; no part of it.")
    tokens: int


class TextOut(Schema):
    text: str
    pages: list[int] = Field(description="Where each page begins, in characters.")
    headings: list[tuple[int, int, str]] = Field(description="[offset, level, title]")


UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "title": {"type": "string"},
                        "source": {"type": "string", "description": "The file's path; by default its name."},
                        "metadata": {"type": "string", "description": "A JSON object."},
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "description": "Or a url."},
                        "url": {"type": "string"},
                        "title": {"type": "string"},
                        "source": {"type": "string"},
                        "metadata": {"type": "object"},
                    },
                }
            },
        },
    }
}


@router.get("/{library_id}/documents", response=ListOf[DocumentOut], summary="List a library's documents")
def list_documents(request: Authenticated, library_id: str, filters: Query[DocumentQuery]) -> dict[str, Any]:
    library = _library(request, library_id)
    found = queries.documents(
        library.workspace_id, library.pk, status=filters.status or "", search=filters.search.replace("\0", "")
    )
    return paginate(found, limit=filters.limit, cursor=filters.cursor).shown(show_document)


@router.post(
    "/{library_id}/documents",
    response={200: DocumentOut | Uploaded, 202: DocumentOut | Uploaded},
    summary="Upload documents",
    openapi_extra=UPLOAD,
)
def upload(request: Authenticated, library_id: str) -> Status[Any]:
    """Files, a ZIP of files, a text, or a URL. Same bytes twice are one document: 200 instead of 202."""
    library = _library(request, library_id, change=True)
    actor = Actor.of(request.auth)
    if request.content_type == "multipart/form-data":
        fields = {name: str(request.POST.get(name, "")) for name in request.POST if name != "csrfmiddlewaretoken"}
        files = [file for name in request.FILES for file in request.FILES.getlist(name)]
        taken = uploads.take_form(actor, library, fields, files)
    else:
        taken = uploads.take_json(actor, library, _json(request.body))
    return Status(taken.status, taken.body)


@router.get("/{library_id}/documents/{document_id}", response=DocumentOut, summary="Describe a document")
def get_document(request: Authenticated, library_id: str, document_id: str) -> dict[str, Any]:
    return show_document(_document(request, library_id, document_id))


@router.patch("/{library_id}/documents/{document_id}", response=DocumentOut, summary="Change title or metadata")
def change_document(
    request: Authenticated, library_id: str, document_id: str, payload: DocumentChange
) -> dict[str, Any]:
    """Filters see the metadata at once; `metadata` takes the place of what was there."""
    document = _document(request, library_id, document_id, change=True)
    return show_document(
        services.change_document(Actor.of(request.auth), document, title=payload.title, metadata=payload.metadata)
    )


@router.delete("/{library_id}/documents/{document_id}", response={204: None}, summary="Delete a document")
def delete_document(request: Authenticated, library_id: str, document_id: str) -> Status[None]:
    """Its text, vectors and file, and cached answers that quoted it."""
    services.delete_document(Actor.of(request.auth), _document(request, library_id, document_id, change=True))
    return Status(204, None)


@router.post("/{library_id}/documents/{document_id}/cancel", response=DocumentOut, summary="Stop an ingestion")
def cancel_document(request: Authenticated, library_id: str, document_id: str) -> dict[str, Any]:
    """An older version that is searched stays."""
    document = _document(request, library_id, document_id, change=True)
    return show_document(services.cancel(Actor.of(request.auth), document))


@router.post("/{library_id}/documents/{document_id}/retry", response=DocumentOut, summary="Try a document again")
def retry_document(request: Authenticated, library_id: str, document_id: str) -> dict[str, Any]:
    """Where it stopped."""
    document = _document(request, library_id, document_id, change=True)
    return show_document(services.retry(Actor.of(request.auth), document))


@router.get("/{library_id}/documents/{document_id}/text", response=TextOut, summary="Read a document's text")
def get_text(request: Authenticated, library_id: str, document_id: str) -> dict[str, Any]:
    """What was found in the version that is searched."""
    text = queries.text_of(_document(request, library_id, document_id))
    if text is None:
        raise NotFound("This document has no text yet.")
    return {"text": text.text, "pages": text.pages, "headings": text.headings}


@router.get(
    "/{library_id}/documents/{document_id}/chunks", response=ListOf[ChunkOut], summary="List a document's chunks"
)
def list_chunks(request: Authenticated, library_id: str, document_id: str, page: Query[PageQuery]) -> dict[str, Any]:
    chunks = queries.chunks_of(_document(request, library_id, document_id))
    found = paginate(chunks, order=("ordinal",), limit=page.limit, cursor=page.cursor)
    return found.shown(
        lambda chunk: {
            "id": str(chunk.pk),
            **{name: getattr(chunk, name) for name in ChunkOut.model_fields if name != "id"},
        }
    )


@router.get("/{library_id}/documents/{document_id}/file", summary="Download a document's file")
def download(request: Authenticated, library_id: str, document_id: str) -> HttpResponse:
    """As it was uploaded. A browser saves it and does not show it: what is in it is nobody's word."""
    return as_file(_document(request, library_id, document_id))


def _document(request: Authenticated, library_id: str, document_id: str, *, change: bool = False) -> Document:
    library = _library(request, library_id, change=change)
    return get_or_404(Document.objects.filter(library=library).select_related("library"), request.auth, document_id)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", param="body") from None
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.", param="body")
    return body
