"""How much a workspace's documents may be in all, so that no workspace fills the disk for the others."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from gateway_project.lib import format as text
from gateway_project.lib.errors import RequestTooLarge
from rag.models import Document


@dataclass(frozen=True)
class Room:
    """Bytes that a workspace's uploaded files come to, each in its newest version, and may come to."""

    used: int
    most: int


def room_of(workspace_id: UUID) -> Room | None:
    """None where there is no bound."""
    most: int = settings.MAX_WORKSPACE_BYTES
    if not most:
        return None
    return Room(Document.objects.filter(workspace=workspace_id).aggregate(sum=Sum("size"))["sum"] or 0, most)


def require_room(workspace_id: UUID, size: int, *, freed: int = 0) -> None:
    """Raises `RequestTooLarge` when a file of `size` bytes, for one of `freed`, has no room in the workspace.

    Two uploads to two libraries do not wait for each other: together they may be over by one file.
    """
    room = room_of(workspace_id)
    if room is not None and room.used + size - freed > room.most:
        raise RequestTooLarge(
            f"The workspace has no room for this file of {text.size(size)}: its documents are {text.size(room.used)}, "
            f"and may be {text.size(room.most)} in all. Delete some, or have MAX_WORKSPACE_BYTES raised.",
            param="file",
        )
