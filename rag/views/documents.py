"""The pages for documents: a library's, how they come in, and one of them with its text."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Action, get_or_404, parse_id
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError, InvalidRequest, NotFound
from gateway_project.lib.htmx import go_to, is_htmx, render_part, say_and_go, toast
from gateway_project.lib.pagination import MAX_LIMIT, Page, paginate
from rag import queries, services
from rag.downloads import as_file
from rag.forms import DocumentForm, DocumentsForm
from rag.models import Document, Library, Status
from rag.services import Actor
from rag.views import preview
from rag.views.incoming import most_in_words
from rag.views.libraries import counted, get_library, head, page_of, require_change
from rag.views.models import text_models

PAGE = "rag/document.html"


@require_safe
@console_view()
def index(request: ConsoleRequest, id: str) -> HttpResponse:
    """A library: its documents, newest first, and the way in for more. `?q=` and `?status=` filter them."""
    library = get_library(request, id)
    form = DocumentsForm(request.GET)
    if not form.is_valid():
        return go_to(request, request.path)
    said = form.cleaned_data
    found = queries.documents(library.workspace_id, library.pk, status=said["status"], search=said["q"])
    try:
        page = paginate(found, cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    context = head(request, library) | _rows(request, library, page) | {"form": form}
    if is_htmx(request):
        context["again"] = True
    else:
        context |= {"models": text_models(), "most_bytes": settings.MAX_UPLOAD_BYTES, "most": most_in_words()}
    return render_part(request, "rag/library.html", "results", context)


@require_safe
@console_view()
def progress(request: ConsoleRequest, id: str) -> HttpResponse:
    """How far the documents of `?ids=` are, for the rows of a page that shows them, until none is on its way."""
    library = get_library(request, id)
    rows = list(_chosen(library, request.GET.get("ids", "").split(",")))
    context = _progress(library, rows) | {"library": {"id": library.pk}, "rows": rows}
    return render(request, "rag/progress.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def detail(request: ConsoleRequest, id: str, document_id: str) -> HttpResponse:
    """A document: how it fares, what is known of it, and its text with where the chunks begin."""
    library = get_library(request, id)
    document = get_document(request, library, document_id)
    form = DocumentForm(
        request.POST if request.method == "POST" else None,
        initial={"title": document.title, "metadata": preview.as_json(document.metadata)},
    )
    if form.is_bound:
        require_change(request)
        if form.is_valid():
            try:
                services.change_document(Actor.of(request.caller), document, **form.cleaned_data)
            except ApiError as error:
                form.refuse(error)
            else:
                return say_and_go(request, "The changes are saved.", document_page(document))
    context = {
        "library": {"id": library.pk, "name": library.name},
        "document": document,
        "waiting": document.status in queries.WAITING,
        "sha256": bytes(document.sha256).hex(),
        "metadata": preview.as_json(document.metadata),
        "can_change": request.caller.may(Action.USE_LIBRARIES),
        "form": form,
    }
    if form.is_bound:
        return render_part(request, PAGE, "form", context, status=422)
    return render(request, PAGE, context | preview.of(document, request.GET.get("at", "")))


@require_safe
@console_view()
def state(request: ConsoleRequest, id: str, document_id: str) -> HttpResponse:
    """How a document fares, for its page; when it is done the page is read again, for its text."""
    library = get_library(request, id)
    document = get_document(request, library, document_id)
    if document.status not in queries.WAITING:
        return go_to(request, document_page(document))
    context = {"library": {"id": library.pk}, "document": document, "waiting": True}
    return render(request, f"{PAGE}#state", context)


@require_safe
@console_view()
def download(request: ConsoleRequest, id: str, document_id: str) -> HttpResponse:
    """The file as it was uploaded; a browser saves it."""
    return as_file(get_document(request, get_library(request, id), document_id))


@require_POST
@console_view(Action.USE_LIBRARIES)
def retry(request: ConsoleRequest, id: str, document_id: str) -> HttpResponse:
    """Begin again with one that failed."""
    document = get_document(request, get_library(request, id), document_id)
    try:
        services.retry(Actor.of(request.caller), document)
    except ApiError as error:
        return say_and_go(request, error.message, document_page(document), warn=True)
    return say_and_go(request, f"{document.title} is tried again.", document_page(document))


@require_POST
@console_view(Action.USE_LIBRARIES)
def cancel(request: ConsoleRequest, id: str, document_id: str) -> HttpResponse:
    """Stop what is being made of one."""
    before = get_document(request, get_library(request, id), document_id)
    document = services.cancel(Actor.of(request.caller), before)
    if document.cancelled:
        said = "is cancelled"
    else:
        said = "is left as it was" if before.status in queries.WAITING else "was done already"
    return say_and_go(request, f"{document.title} {said}.", document_page(document))


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_LIBRARIES)
def remove(request: ConsoleRequest, id: str, document_id: str) -> HttpResponse:
    """Ask, then delete."""
    library = get_library(request, id)
    document = get_document(request, library, document_id)
    if request.method == "POST":
        services.delete_document(Actor.of(request.caller), document)
        return say_and_go(request, f"{document.title} is deleted.", page_of(library))
    context = {
        "question": f"Delete {document.title}?",
        "consequence": f"Its text, {counted(document.chunks, 'chunk')} and file go, and cached answers that quoted it.",
        "button": "Delete document",
        "action": request.path,
        "back": document_page(document),
    }
    return render_part(request, "confirm.html", "dialog", context)


@require_POST
@console_view(Action.USE_LIBRARIES)
def bulk(request: ConsoleRequest, id: str) -> HttpResponse:
    """What is to be done with the rows that are ticked. A deletion is asked about first."""
    library = get_library(request, id)
    rows = list(_chosen(library, request.POST.getlist("id")))
    if not rows:
        return _told(request, "Tick the documents first.", page_of(library))
    action = request.POST.get("action", "")
    if action == "delete" and request.POST.get("sure") != "yes":
        return _ask(request, library, rows)
    acts = {"delete": (services.delete_document, "deleted"), "retry": (services.retry, "tried again"),
            "cancel": (services.cancel, "cancelled")}  # fmt: skip
    if action not in acts:
        return go_to(request, page_of(library))
    act, word = acts[action]
    able = {"retry": [Status.FAILED], "cancel": list(queries.WAITING)}.get(action, list(Status))
    done = 0
    for document in rows:
        if document.status in able:
            try:
                act(Actor.of(request.caller), document)
            except NotFound:  # somebody else deleted it meanwhile
                continue
            done += 1
    if not done:
        return _told(request, f"None of them can be {word}.", page_of(library))
    were = "is" if done == 1 else "are"
    return say_and_go(request, f"{counted(done, 'document')} {were} {word}.", page_of(library))


# --- Parts ---------------------------------------------------------------------------------------


def get_document(request: ConsoleRequest, library: Library, id: str) -> Document:
    """The document of that library. Raises NotFound."""
    return get_or_404(Document.objects.filter(library=library).select_related("library"), request.caller, id)


def document_page(document: Document) -> str:
    """Where a document is shown."""
    return resolve_url("document", id=document.library_id, document_id=document.pk)


def _rows(request: ConsoleRequest, library: Library, page: Page[Document]) -> dict[str, Any]:
    """The rows of a page and what to say of them."""
    asked = bool(request.GET.get("q") or request.GET.get("status"))
    return {
        "rows": page.data,
        "next_cursor": page.next_cursor,
        "filtered": asked or bool(request.GET.get("cursor")),
        "announcement": f"{counted(len(page.data), 'document')}{' and more' if page.next_cursor else ''}",
    } | _progress(library, page.data)


def _progress(library: Library, rows: list[Document]) -> dict[str, Any]:
    """How many documents are where, and which rows are to be asked about again."""
    counts = queries.count_by_status(library.pk)
    return {
        "counts": counts,
        "held": {"documents": sum(counts.values()), "chunks": queries.count_chunks(library.pk)},
        "under_way": sum(counts[status] for status in queries.WAITING),
        "waiting": [str(row.pk) for row in rows if row.status in queries.WAITING],
    }


def _chosen(library: Library, ids: list[str]) -> QuerySet[Document]:
    """Those of a page's rows that still are in the library; what is no id is nobody's."""
    known = []
    for id in ids[:MAX_LIMIT]:
        try:
            known.append(parse_id(id))
        except NotFound:
            continue
    return queries.documents(library.workspace_id, library.pk).filter(pk__in=known)


def _ask(request: ConsoleRequest, library: Library, rows: list[Document]) -> HttpResponse:
    context = {
        "question": f"Delete {counted(len(rows), 'document')}?",
        "consequence": "Their texts, chunks and files go, and cached answers that quoted them. This cannot be undone.",
        "titles": [row.title for row in rows[:8]],
        "more": max(0, len(rows) - 8),
        "hidden": [("action", "delete"), ("sure", "yes"), *(("id", row.pk) for row in rows)],
        "button": "Delete documents",
        "action": request.path,
        "back": page_of(library),
    }
    return render_part(request, "confirm.html", "dialog", context)


def _told(request: ConsoleRequest, message: str, url: str) -> HttpResponse:
    """A word about what could not be done: in place for htmx, on the page otherwise."""
    if is_htmx(request):
        return toast(HttpResponse(status=204), message, "error")
    return say_and_go(request, message, url, warn=True)
