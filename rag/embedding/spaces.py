"""Which vectors may be compared: a space per workspace, model, revision and dimension."""

from uuid import UUID

from rag.embedding.client import Embedded, current
from rag.embedding.errors import ModelUnavailable
from rag.models import Space


def space_for(workspace_id: UUID, model: str = "") -> Space:
    """The workspace's space of the model that the worker really uses for `model` ("" for the installation's).

    Blocking: asks the worker, which loads the model if it must. Raises EmbeddingError.
    """
    state = current.describe_sync(model)
    if not state.dimensions:
        raise ModelUnavailable(state.id, state.note or "its vectors' length is not known")
    return _space(workspace_id, state.id, state.revision, state.dimensions[0])


def space_of(workspace_id: UUID, embedded: Embedded) -> Space:
    """The space that these vectors belong to."""
    return _space(workspace_id, embedded.model, embedded.revision, embedded.dimension)


def _space(workspace_id: UUID, model: str, revision: str, dimension: int) -> Space:
    space, _ = Space.objects.get_or_create(
        workspace_id=workspace_id, model=model, revision=revision, dimension=dimension
    )
    return space
