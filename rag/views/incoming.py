"""How documents come in: files that are dropped or picked, a text, a URL."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import resolve_url
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import Action
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib import format as words
from gateway_project.lib.errors import ApiError
from gateway_project.lib.forms import ConsoleForm
from gateway_project.lib.htmx import render_part, say_and_go
from rag import services, uploads
from rag.forms import TextForm, UrlForm
from rag.models import Document, Library
from rag.services import Actor
from rag.views.libraries import counted, get_library, page_of

# Refused files that a page names; the others are counted.
NAMED = 5
FIELDS = ("source",)


@require_POST
@console_view(Action.USE_LIBRARIES)
def upload(request: ConsoleRequest, id: str) -> HttpResponse:
    """Take files: those of a form, or one at a time from static/js/upload.js, which asks for JSON."""
    library = get_library(request, id)
    wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    files = request.FILES.getlist("file")
    fields = {name: request.POST[name] for name in FIELDS if request.POST.get(name)}
    try:
        taken = uploads.take_form(Actor.of(request.caller), library, fields, files)
    except ApiError as error:
        message = _in_words(error)
        if wants_json:
            return JsonResponse({"error": message}, status=error.status)
        return say_and_go(request, message, page_of(library), warn=True)
    if wants_json:
        several = taken.body.get("data")
        return JsonResponse(
            {
                "created": taken.body["created"] if several is not None else int(taken.status == 202),
                "documents": 1 if several is None else len(several),
                "refused": taken.body.get("refused", []),
            }
        )
    return say_and_go(request, *_came_of(taken, page_of(library)))


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_LIBRARIES)
def text(request: ConsoleRequest, id: str) -> HttpResponse:
    """A text that is pasted in."""
    return _added(request, get_library(request, id), TextForm, "Paste a text", "text", services.upload_text)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.USE_LIBRARIES)
def url(request: ConsoleRequest, id: str) -> HttpResponse:
    """What a URL leads to."""
    return _added(request, get_library(request, id), UrlForm, "Add from a URL", "url", services.upload_url)


def most_in_words() -> str:
    """What a file may have at most, as people say it."""
    return words.size(settings.MAX_UPLOAD_BYTES)


# --- Parts ---------------------------------------------------------------------------------------


def _added(
    request: ConsoleRequest,
    library: Library,
    form_class: type[ConsoleForm],
    title: str,
    first: str,
    take: Callable[..., tuple[Document, bool]],
) -> HttpResponse:
    form = form_class(request.POST if request.method == "POST" else None)
    form.fields[first].widget.attrs["autofocus"] = not form.is_bound
    if form.is_bound and form.is_valid():
        try:
            document, created = take(Actor.of(request.caller), library, **form.cleaned_data)
        except ApiError as error:
            form.refuse(error)
        else:
            said = "is on its way" if created else "was here already"
            return say_and_go(request, f"{document.title} {said}.", page_of(library))
    context: dict[str, Any] = {
        "library": {"id": library.pk, "name": library.name},
        "form": form,
        "title": title,
        "action": request.path,
        "cancel": resolve_url("library", id=library.pk),
    }
    return render_part(request, "rag/add.html", "form", context, status=422 if form.is_bound else 200)


def _in_words(error: ApiError) -> str:
    """A refusal as a page says it: without the API's name of the field, sizes as people say them."""
    if error.status == 413:
        return f"Too large: a file may have {most_in_words()}."
    message = error.message.removeprefix(f"{error.param}: ") if error.param else error.message
    return message[:1].upper() + message[1:]


def _came_of(taken: uploads.Taken, url: str) -> tuple[str, str]:
    refused = taken.body.get("refused", [])
    data = taken.body.get("data")
    if data is None:
        said = "is on its way" if taken.status == 202 else "was here already"
        return f"{taken.body['title']} {said}.", url
    created = taken.body["created"]
    parts = [f"{counted(created, 'document')} on the way."]
    if len(data) > created:
        parts.append(f"{len(data) - created:,} here already.")
    if refused:
        named = "; ".join(f"{each['name']}: {each['error']}" for each in refused[:NAMED])
        more = f"; and {len(refused) - NAMED:,} more" if len(refused) > NAMED else ""
        parts.append(f"{len(refused):,} refused: {named}{more}")
    return " ".join(parts), url
