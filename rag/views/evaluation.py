"""The page that measures a library on its users' own questions: a CSV file, and a table with a line for each mode."""

import time
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError, InvalidRequest
from gateway_project.lib.forms import ConsoleForm
from gateway_project.lib.htmx import render_part
from rag.evaluation import cases
from rag.evaluation.asking import HYBRID, RERANKED, TEXT, VECTOR, Measured, measure
from rag.evaluation.locating import locate
from rag.evaluation.measures import Score
from rag.models import Library
from rag.views.libraries import get_library, head

# A file may have so many rows; and so many seconds are questions begun in. `make eval-rag` knows no such bounds.
MOST_ROWS, SECONDS = 300, 25.0
MOST_TOP_K = 20
# Rows that the page names which stand in no document; the others are counted.
NAMED = 10
NAMES = {VECTOR: "Meaning", TEXT: "Words", HYBRID: "Both", RERANKED: "Both, reranked"}


class EvaluationForm(ConsoleForm):
    """Questions, and how many passages may answer each."""

    file = forms.FileField(
        label="Questions",
        help_text=f"CSV, up to {MOST_ROWS} rows. Columns: <code>question</code>, and <code>passage</code> (as it"
        " stands in a document), <code>document</code> (its title or file name) or both. A question may have several"
        " rows.",
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )
    top_k = forms.IntegerField(
        label="Passages", min_value=1, max_value=MOST_TOP_K, initial=5, help_text="What a search may bring."
    )


@dataclass(frozen=True)
class Line:
    """What a mode came to; `milliseconds` a search."""

    name: str
    score: Score
    milliseconds: float
    is_default: bool


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def evaluation(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask the library what a file asks, and show how much of what answers it is found. It changes nothing."""
    library = get_library(request, id)
    form = EvaluationForm(request.POST or None, request.FILES or None) if request.method == "POST" else EvaluationForm()
    context: dict[str, Any] = head(request, library) | {"form": form}
    if form.is_bound and form.is_valid():
        try:
            context |= _measured(library, form.cleaned_data["file"].read(cases.LARGEST + 1), form.cleaned_data["top_k"])
        except ApiError as error:
            form.refuse(error)
    refused = form.is_bound and bool(form.errors)
    return render_part(request, "rag/evaluation.html", "measuring", context, status=422 if refused else 200)


def _measured(library: Library, content: bytes, top_k: int) -> dict[str, Any]:
    """Raises ApiError in words for people."""
    ends = time.monotonic() + SECONDS
    questions = cases.read(content, most=MOST_ROWS)
    located = locate(library, questions)
    if not located.cases:
        raise InvalidRequest(
            "None of these passages and documents is in this library. Passages must stand there word for word.",
            param="file",
        )
    modes = [HYBRID, VECTOR, TEXT, *([RERANKED] if settings.EMBEDDING_RERANK_MODEL else [])]
    measured = measure(library, located.cases, modes, top_k, until=ends)
    if not measured[0].scores:
        raise InvalidRequest("Looking for the passages took all the time there is. Name each one's document.")
    asked = len(measured[0].scores)
    return {
        "lines": [_line(each) for each in measured],
        "top_k": top_k,
        "asked": asked,
        "unasked": len(located.cases) - asked,
        "missing": located.missing[:NAMED],
        "more_missing": max(0, len(located.missing) - NAMED),
        "left_out": len(questions) - len(located.cases),
        "notes": sorted(set().union(*(each.notes for each in measured))),
        "has_passages": measured[0].mean.found_share is not None,
        "announcement": f"{asked:,} questions measured",
    }


def _line(measured: Measured) -> Line:
    # The one that answers are given by where nothing else is asked for.
    default = RERANKED if settings.EMBEDDING_RERANK_MODEL else HYBRID
    return Line(NAMES[measured.mode], measured.mean, measured.milliseconds, measured.mode == default)
