"""Reads: libraries with what is in them, documents, and a document's text with its chunks."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from rag.models import Chunk, Document, DocumentText, Library, Reembedding, Status
from rag.schemas import show_library

WAITING = (Status.QUEUED, Status.PARSING, Status.EMBEDDING)


def libraries(workspace_id: UUID) -> QuerySet[Library]:
    """A workspace's libraries, with the spaces that they are embedded in."""
    return Library.objects.filter(workspace_id=workspace_id).select_related("space")


def filled_libraries(workspace_id: UUID) -> QuerySet[Library]:
    """Those that hold documents, the newest first."""
    held = Document.objects.filter(library=OuterRef("pk"))
    return libraries(workspace_id).filter(Exists(held)).order_by("-created_at", "-id")


def shown_libraries(rows: Collection[Library]) -> list[dict[str, Any]]:
    """Libraries as the API shows them: two queries, however many they are."""
    ids = [library.pk for library in rows]
    held = (
        Document.objects.filter(library_id__in=ids)
        .order_by()
        .values_list("library_id")
        .annotate(documents=Count("*"), chunks=Sum("chunks"))
    )
    counts = {id: (documents, chunks or 0) for id, documents, chunks in held}
    latest = Reembedding.objects.filter(library_id__in=ids).order_by("library_id", "-created_at").distinct("library_id")
    moves = {move.library_id: move for move in latest}
    return [show_library(row, *counts.get(row.pk, (0, 0)), moves.get(row.pk)) for row in rows]


def documents(
    workspace_id: UUID, library_id: UUID | None = None, *, status: str = "", search: str = ""
) -> QuerySet[Document]:
    """A workspace's documents, or a library's; those of a status, and with `search` in title or source.

    `status` may also be `waiting`: whatever is on its way.
    """
    found = Document.objects.filter(workspace_id=workspace_id).select_related("library")
    if library_id is not None:
        found = found.filter(library_id=library_id)
    if status:
        found = found.filter(status__in=WAITING if status == "waiting" else [status])
    if search:
        found = found.filter(Q(title__icontains=search) | Q(source__icontains=search))
    return found


def count_by_status(library_id: UUID) -> dict[str, int]:
    """How many of a library's documents are where; every status is named."""
    counted = Document.objects.filter(library_id=library_id).order_by().values_list("status").annotate(n=Count("*"))
    return {**dict.fromkeys(Status.values, 0), **dict(counted)}


def count_chunks(library_id: UUID) -> int:
    """How many chunks of a library can be found."""
    chunks: int | None = Document.objects.filter(library_id=library_id).aggregate(chunks=Sum("chunks"))["chunks"]
    return chunks or 0


@dataclass(frozen=True)
class Text:
    """A document's live text, and where the chunks begin and end in it, in characters."""

    text: str
    pages: list[int]
    headings: list[tuple[int, int, str]]


def text_of(document: Document) -> Text | None:
    """The text of the version that is searched; None before there is one."""
    found = DocumentText.objects.filter(document=document).first()
    return None if found is None else Text(found.text, found.pages, [(o, n, t) for o, n, t in found.headings])


def chunks_of(document: Document) -> QuerySet[Chunk]:
    """The chunks that can be found, in the text's order."""
    return Chunk.objects.filter(document=document).order_by("ordinal")


def strictest(privacy_modes: Iterable[str]) -> str:
    """Of libraries' privacy modes the one that holds for an answer over all of them."""
    found = set(privacy_modes)
    return next((mode for mode in ("strict", "flexible") if mode in found), "")
