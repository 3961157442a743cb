"""The page on which a library moves to another embedding model, and back."""

from collections.abc import Callable

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Action
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError
from gateway_project.lib.htmx import render_part, say_and_go
from rag import services
from rag.forms import ReembedForm
from rag.models import Library, Reembedding
from rag.services import Actor
from rag.views.libraries import get_library, head, require_change
from rag.views.models import models_for

PAGE = "rag/reembedding.html"


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """Choose a model; how far it is; the way back."""
    library = get_library(request, id)
    form = ReembedForm(request.POST if request.method == "POST" else None)
    if form.is_bound:
        require_change(request)
        if form.is_valid():
            try:
                services.reembed(Actor.of(request.caller), library, form.cleaned_data["model"])
            except ApiError as error:
                form.refuse(error)
            else:
                return say_and_go(request, "Re-embedding has begun. Searches go on meanwhile.", request.path)
    context = head(request, library) | {"form": form, "models": models_for(form), "former": _former(library)}
    if form.is_bound:
        return render_part(request, PAGE, "form", context, status=422)
    return render(request, PAGE, context)


@require_safe
@console_view()
def progress(request: ConsoleRequest, id: str) -> HttpResponse:
    """How far it is, for the page that asks again until it is done."""
    library = get_library(request, id)
    context = head(request, library) | {"former": _former(library), "asked": True}
    return render(request, f"{PAGE}#state", context)


@require_POST
@console_view(Action.USE_LIBRARIES)
def cancel(request: ConsoleRequest, id: str) -> HttpResponse:
    """Give it up; the library stays as it is."""
    library = get_library(request, id)
    return _done(request, library, services.cancel_reembedding, "Cancelled. The library stays as it was.")


@require_POST
@console_view(Action.USE_LIBRARIES)
def roll_back(request: ConsoleRequest, id: str) -> HttpResponse:
    """Go back to the model before."""
    library = get_library(request, id)
    return _done(request, library, services.rollback_reembedding, "On the way back to the former model.")


def _done(
    request: ConsoleRequest, library: Library, act: Callable[[Actor, Library], object], said: str
) -> HttpResponse:
    here = resolve_url("library-reembedding", id=library.pk)
    try:
        act(Actor.of(request.caller), library)
    except ApiError as error:
        return say_and_go(request, error.message, here, warn=True)
    return say_and_go(request, said, here)


def _former(library: Library) -> str:
    """The model that the library can go back to; empty when there is none."""
    last = (
        Reembedding.objects.select_related("old_space")
        .filter(library=library, state=Reembedding.State.DONE)
        .order_by("-finished_at")
        .first()
    )
    return last.old_space.model if last is not None and last.old_space is not None else ""
