"""By which model a library is embedded: bound with its first document, for good or until it is re-embedded."""

from uuid import UUID

from django.db import connection

from rag.embedding.errors import ModelUnavailable
from rag.models import Library, Space


class ModelChanged(Exception):
    """What the worker loads under a library's model's name is another revision than made the library's vectors."""

    def __init__(self, space: Space, found: Space) -> None:
        was, now = (f"revision {each.revision or 'unknown'}, {each.dimension} dimensions" for each in (space, found))
        super().__init__(
            f"{space.model} is another one now ({now}) than made this library's vectors ({was}); re-embed the library."
        )


def space_for(workspace_id: UUID, model: str) -> Space:
    """The workspace's space of the model that this process really uses for `model`, which is loaded if it must be.

    Raises EmbeddingError.
    """
    from rag.embedding import engine

    state = engine.current.describe(model)
    if not state.dimensions:
        raise ModelUnavailable(state.id, state.note or "its vectors' length is not known")
    space, _ = Space.objects.get_or_create(
        workspace_id=workspace_id, model=state.id, revision=state.revision, dimension=state.dimensions[0]
    )
    return space


def space_of(library: Library) -> Space:
    """The library's space, which is found and kept here for its first document. Raises EmbeddingError, ModelChanged."""
    if library.space is None:
        _bind(library, space_for(library.workspace_id, library.model))
    space = library.space
    assert space is not None  # noqa: S101  (bound above)
    found = space_for(library.workspace_id, space.model)
    if found.pk != space.pk:
        raise ModelChanged(space, found)
    return space


def _bind(library: Library, space: Space) -> None:
    """Of two workers that bind it at once, the first one's space holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE rag_library SET space_id = %s WHERE id = %s AND space_id IS NULL", [space.pk, library.pk]
        )
    library.refresh_from_db(fields=["space"])
    if library.space is None:
        library.space = space  # the library is gone: so is the document's lease
