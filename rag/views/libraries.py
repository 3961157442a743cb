"""The pages for libraries: all of them, a new one, one with its documents, its settings and its end."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Action, get_or_404, require
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib import format as text
from gateway_project.lib.errors import ApiError, Conflict, InvalidRequest
from gateway_project.lib.htmx import go_to, render_part, say_and_go
from gateway_project.lib.pagination import paginate
from rag import queries, services
from rag.forms import LibraryForm
from rag.models import DEFAULT_LIBRARY, Library
from rag.services import Actor
from rag.services.room import room_of
from rag.views.models import models_for, text_models


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """The workspace's libraries, newest first; `default` is there in every workspace."""
    services.default_library(request.caller.workspace.pk)
    rows = queries.libraries(request.caller.workspace.pk)
    try:
        page = paginate(rows, cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    shown = queries.shown_libraries(page.data)
    only = len(shown) == 1 and not page.next_cursor and not request.GET.get("cursor")
    context = {
        "libraries": shown,
        "first": page.data[0] if only and not shown[0]["documents"] else None,
        "next_cursor": page.next_cursor,
        "models": text_models(),
        "can_change": request.caller.may(Action.USE_LIBRARIES),
        "room": room_of(request.caller.workspace.pk),
    }
    return render(request, "rag/libraries.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_LIBRARIES)
def new(request: ConsoleRequest) -> HttpResponse:
    """Create a library."""
    form = LibraryForm(request.POST if request.method == "POST" else None)
    form.fields["name"].widget.attrs["autofocus"] = not form.is_bound
    if form.is_bound and form.is_valid():
        try:
            library = services.create_library(Actor.of(request.caller), form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, f"{library.name} is created. Add its first documents.", page_of(library))
    context = {"form": form, "models": models_for(form)}
    return render_part(request, "rag/library_new.html", "form", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def settings(request: ConsoleRequest, id: str) -> HttpResponse:
    """A library's settings, its model and the way to another one."""
    library = get_library(request, id)
    form = LibraryForm(request.POST if request.method == "POST" else None, library=library)
    if form.is_bound:
        require_change(request)
        if form.is_valid():
            try:
                changed = services.change_library(Actor.of(request.caller), library, form.fields_for_service())
            except ApiError as error:
                form.refuse(error)
            else:
                return say_and_go(request, _saved(library, changed), resolve_url("library-settings", id=library.pk))
    context = head(request, library) | {"form": form, "models": models_for(form)}
    status = 422 if form.is_bound else 200
    if form.is_bound:
        return render_part(request, "rag/library_settings.html", "form", context, status=status)
    return render(request, "rag/library_settings.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_LIBRARIES)
def remove(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, naming what goes, then delete."""
    library = get_library(request, id)
    if request.method == "POST":
        try:
            services.delete_library(Actor.of(request.caller), library)
        except Conflict as error:
            return say_and_go(request, error.message, resolve_url("library-settings", id=library.pk), warn=True)
        return say_and_go(request, f"{library.name} is deleted.", resolve_url("libraries"))
    held = queries.shown_libraries([library])[0]
    context = {
        "question": f"Delete {library.name}?",
        "consequence": f"Its {counted(held['documents'], 'document')} with {counted(held['chunks'], 'chunk')} go, "
        "with their texts and files, those that are on their way, too, and cached answers that quoted them. "
        "This cannot be undone.",
        "button": "Delete library",
        "action": request.path,
        "back": resolve_url("library-settings", id=library.pk),
    }
    return render_part(request, "confirm.html", "dialog", context)


@require_POST
@console_view(Action.USE_LIBRARIES)
def rechunk(request: ConsoleRequest, id: str) -> HttpResponse:
    """Have its documents cut anew, as it is set now."""
    library = get_library(request, id)
    count = services.rechunk(Actor.of(request.caller), library)
    if not count:
        here = resolve_url("library-settings", id=library.pk)
        return say_and_go(request, "None of its documents is ready to be cut again.", here, warn=True)
    are = "is" if count == 1 else "are"
    return say_and_go(request, f"{counted(count, 'document')} {are} cut again. Searches go on.", page_of(library))


# --- What the other pages share ------------------------------------------------------------------


def get_library(request: ConsoleRequest, id: str) -> Library:
    """The library of the caller's workspace. Raises NotFound."""
    return get_or_404(Library.objects.select_related("space"), request.caller, id)


def require_change(request: ConsoleRequest) -> None:
    """Raises PermissionDenied for who may only read."""
    require(request.caller, Action.USE_LIBRARIES)


def head(request: ConsoleRequest, library: Library) -> dict[str, Any]:
    """What every page of a library shows of it. Two queries."""
    return {
        "library": queries.shown_libraries([library])[0],
        "is_default": library.name == DEFAULT_LIBRARY,
        "can_change": request.caller.may(Action.USE_LIBRARIES),
    }


def page_of(library: Library) -> str:
    """Where a library's documents are."""
    return resolve_url("library", id=library.pk)


def _saved(before: Library, after: Library) -> str:
    cut = ("chunk_tokens", "overlap", "contextual_header", "language")
    same = all(getattr(before, name) == getattr(after, name) for name in cut)
    if same or not after.documents.exists():
        return "The changes are saved."
    return "The changes are saved, for what is added from now on. The documents that are here can be cut again below."


def counted(number: int, what: str) -> str:
    """ "1 document", "2,000 documents"."""
    return f"{text.count(number)} {what}{'' if number == 1 else 's'}"
