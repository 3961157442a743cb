"""The page that searches: what an answer would be given, with how well each passage fits."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.access import Action, Caller
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError
from gateway_project.lib.htmx import render_part
from rag import retrieve, searching
from rag.forms import DEFAULT_TOP_K, MOST_CHOICES, SearchForm
from rag.models import Document, Library
from rag.retrieve import Result
from rag.views.libraries import counted


@dataclass(frozen=True)
class Passage:
    """A result, and its content in parts: what the query's words are in, and what is between them."""

    result: Result
    parts: list[tuple[str, bool]]


@require_safe
@console_view()
def search(request: ConsoleRequest) -> HttpResponse:
    """`?q=` in all libraries, or in `?library=`, by `?mode=`."""
    choices = _choices(request.caller)
    asked = "q" in request.GET
    form = SearchForm(
        request.GET if asked else None, libraries=choices, initial={"library": request.GET.get("library", "")}
    )
    context: dict[str, Any] = {"form": form, "asked": asked}
    if asked and request.GET["q"].strip() and form.is_valid():
        try:
            context |= _found(request.caller, form)
        except ApiError as error:
            form.refuse(error)
    context["more"] = bool(form["filters"].value() or form.errors.get("filters"))
    context["is_empty"] = not asked and not Document.objects.filter(workspace=request.caller.workspace).exists()
    context["can_change"] = request.caller.may(Action.USE_LIBRARIES)
    return render_part(request, "rag/search.html", "results", context)


def _choices(caller: Caller) -> list[tuple[str, str]]:
    """The workspace's libraries; one more than fit into a select says that there are too many for one."""
    names = Library.objects.filter(workspace=caller.workspace).order_by("name").values_list("name", flat=True)
    return [(name, name) for name in names[: MOST_CHOICES + 1]]


def _found(caller: Caller, form: SearchForm) -> dict[str, Any]:
    said = form.cleaned_data
    query = retrieve.Query(
        text=said["q"],
        libraries=[said["library"]] if said["library"] else [],
        top_k=said["top_k"] or DEFAULT_TOP_K,
        filters=said["filters"] or None,
        mode=said["mode"] or "hybrid",
    )
    found = searching.look_up(caller.workspace.pk, query)
    return {
        "found": found,
        "passages": [Passage(result, marked(result.content, result.highlights)) for result in found.results],
        "milliseconds": sum(found.timings.values()),
        "announcement": f"{counted(len(found.results), 'passage')} found",
    }


def marked(content: str, highlights: list[list[int]]) -> list[tuple[str, bool]]:
    """`content` in parts, each with whether it is a highlight."""
    parts: list[tuple[str, bool]] = []
    at = 0
    for start, end in sorted(highlights, key=lambda span: (span[0], -span[1])):
        start = max(start, at)
        if end <= start:
            continue
        if start > at:
            parts.append((content[at:start], False))
        parts.append((content[start:end], True))
        at = end
    if at < len(content):
        parts.append((content[at:], False))
    return parts
