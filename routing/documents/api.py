"""`/documents` and `/search`: what gateway keys do with documents."""

from typing import Any, cast
from urllib.parse import parse_qs
from uuid import UUID

from django.http import HttpRequest
from ninja import Router

from accounts.access import in_workspace, parse_id
from gateway_project.lib.errors import InvalidRequest, NotFound
from gateway_project.lib.pagination import DEFAULT_LIMIT, MAX_LIMIT, ListOf, paginate
from gateway_project.lib.wire import WireRequest, WireResponse
from rag import queries, searching, services
from rag import uploads as uploading
from rag.models import Document, Library, Status
from rag.schemas import LONGEST_QUERY, MOST_RESULTS, DocumentOut, FoundOut, Uploaded, show_document
from rag.services import Actor
from routing.documents import bodies
from routing.documents.reference import INGEST, LIST, SEARCH, SIMPLE_SEARCH, FoundSimply
from routing.documents.serving import READ, WRITE, Made, arrivals, counted, fetches, looked_up, searches, uploads

router = Router(tags=["Documents"])

KEY: dict[str, Any] = {"security": [{"GatewayKey": []}]}
DEFAULT_RESULTS = 5


@router.post(
    "/documents/ingest",
    summary="Ingest a document",
    response={200: DocumentOut | Uploaded, 202: DocumentOut | Uploaded},
    openapi_extra=INGEST,
)
async def ingest(request: HttpRequest) -> WireResponse:
    """A file, several or a ZIP of them as a form; a text or a URL as JSON. Same bytes twice: 200, the same document."""
    wire = cast(WireRequest, request)

    async def answer(actor: Actor) -> Made:
        if bodies.media_type(wire) != bodies.MULTIPART:
            raw = await bodies.read_json(wire)
            given = await uploads.run(actor.workspace_id, bodies.json_object, raw)
            threads = uploads if given.get("url") is None else fetches
            taken = await threads.run(actor.workspace_id, _take_json, actor, given)
        else:
            async with bodies.spooled(wire, arrivals) as body:
                content_type = wire.wire_headers[b"content-type"].decode("latin-1")
                taken = await uploads.run(actor.workspace_id, _take_form, actor, content_type, body)
        return Made(taken.status, taken.body)

    return await counted(wire, "/documents/ingest", WRITE, answer)


@router.post("/documents/search", summary="Search in documents", response=FoundOut, openapi_extra=SEARCH)
async def search(request: HttpRequest) -> WireResponse:
    """By meaning, by words, or both; while no embedding model answers by words alone, which `note` then says."""
    wire = cast(WireRequest, request)

    async def answer(actor: Actor) -> Made:
        body = bodies.json_object(await bodies.read_json(wire))
        return Made(200, await searches.run(actor.workspace_id, searching.search, actor.workspace_id, body))

    return await counted(wire, "/documents/search", READ, answer)


@router.post("/search", openapi_extra=SIMPLE_SEARCH, summary="Search, in a simple shape", response=FoundSimply)
async def simple_search(request: HttpRequest) -> WireResponse:
    """As `/documents/search` in all libraries, by meaning and words."""
    wire = cast(WireRequest, request)

    async def answer(actor: Actor) -> Made:
        query, limit = _simple(bodies.json_object(await bodies.read_json(wire)))
        workspace = actor.workspace_id
        return Made(200, await searches.run(workspace, searching.simple_search, workspace, query, limit))

    return await counted(wire, "/search", READ, answer)


@router.get("/documents", summary="List documents", response=ListOf[DocumentOut], openapi_extra=LIST)
async def list_documents(request: HttpRequest) -> WireResponse:
    """The newest first; `library` and `status` choose among them."""
    wire = cast(WireRequest, request)
    return await looked_up(wire, READ, lambda actor: _listed(actor, wire))


@router.get("/documents/{document_id}", summary="Describe a document", response=DocumentOut, openapi_extra=KEY)
async def get_document(request: HttpRequest, document_id: str) -> WireResponse:
    """How far it is, and what went wrong."""
    return await looked_up(cast(WireRequest, request), READ, lambda actor: show_document(_document(actor, document_id)))


@router.delete("/documents/{document_id}", summary="Delete a document", response={204: None}, openapi_extra=KEY)
async def delete_document(request: HttpRequest, document_id: str) -> WireResponse:
    """Its text, vectors and file, and cached answers that quoted it."""

    async def answer(actor: Actor) -> Made:
        await searches.run(actor.workspace_id, _delete, actor, document_id)
        return Made(204, None)

    return await counted(cast(WireRequest, request), "/documents/{id}", WRITE, answer)


def _take_json(actor: Actor, body: dict[str, Any]) -> uploading.Taken:
    return uploading.take_json(actor, _named(actor, body.get("library")), body, read=["library"])


def _take_form(actor: Actor, content_type: str, body: Any) -> uploading.Taken:
    form = bodies.parse_form(content_type, body)
    try:
        library = _named(actor, form.fields.get("library"))
        return uploading.take_form(actor, library, form.fields, form.files, read=["library"])
    finally:
        for file in form.files:
            file.close()


def _named(actor: Actor, name: Any) -> Library:
    """The library that a request names, by its name or id; none: the default one."""
    if name is None or name == "":
        return services.default_library(actor.workspace_id)
    if type(name) is not str or len(name) > 120 or not name.isprintable():
        raise InvalidRequest("library: must be a library's name.", param="library")
    try:
        return services.named_library(actor.workspace_id, name)
    except NotFound:
        try:
            id = UUID(name)
        except ValueError:
            id = None
        found = None if id is None else in_workspace(Library.objects.all(), actor.workspace_id).filter(pk=id).first()
        if found is None:
            raise
        return found


def _listed(actor: Actor, request: WireRequest) -> dict[str, Any]:
    asked = {
        name: values[-1]
        for name, values in parse_qs(request.scope["query_string"].decode("latin-1"), keep_blank_values=True).items()
    }
    limit, status = asked.get("limit", str(DEFAULT_LIMIT)), asked.get("status", "")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 10 and 1 <= int(limit) <= MAX_LIMIT):
        raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}.", param="limit")
    if status not in ("", "waiting", *Status.values):
        raise InvalidRequest("status: must be queued, parsing, embedding, ready, failed or waiting.", param="status")
    library = _named(actor, asked["library"]) if asked.get("library") else None
    found = queries.documents(actor.workspace_id, library.pk if library else None, status=status)
    return paginate(found, limit=int(limit), cursor=asked.get("cursor")).shown(show_document)


def _document(actor: Actor, document_id: str) -> Document:
    found = in_workspace(Document.objects.select_related("library"), actor.workspace_id)
    document = found.filter(pk=parse_id(document_id)).first()
    if document is None:
        raise NotFound("There is no such document.")
    return document


def _delete(actor: Actor, document_id: str) -> None:
    services.delete_document(actor, _document(actor, document_id))


def _simple(body: dict[str, Any]) -> tuple[str, int]:
    for name in body:
        if name not in ("query", "limit"):
            raise InvalidRequest(f"{name[:100]}: unknown; the fields are query, limit.", param=name[:100])
    query, limit = body.get("query"), body.get("limit", DEFAULT_RESULTS)
    if type(query) is not str or not 0 < len(query) <= LONGEST_QUERY or not query.strip():
        raise InvalidRequest(f"query: must be a text of 1 to {LONGEST_QUERY} characters.", param="query")
    if type(limit) is not int or not 1 <= limit <= MOST_RESULTS:
        raise InvalidRequest(f"limit: must be a whole number from 1 to {MOST_RESULTS}.", param="limit")
    return query, limit
