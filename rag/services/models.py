"""Whether a library can be embedded by the model that somebody names for it."""

from gateway_project.lib.errors import InvalidRequest
from rag.embedding import client
from rag.embedding.errors import EmbeddingError, ModelUnavailable, UnknownModel


def check_model(name: str) -> None:
    """Raise `InvalidRequest` for a model that cannot be used here, with those that can.

    While the worker is away nobody can tell, and the first document will. Blocking, for some seconds where the hub has
    to be asked: not for a transaction.
    """
    if not name:
        return
    try:
        client.current.find_sync(name)
    except (UnknownModel, ModelUnavailable) as error:
        raise InvalidRequest(f"model: must be one that can be used here: {error}{_others()}", param="model") from None
    except EmbeddingError:
        return


def _others() -> str:
    try:
        states = client.current.models_sync()
    except EmbeddingError:
        return ""
    usable = [state.id for state in states if state.modality == "text" and state.available]
    return f" Available: {', '.join(usable)}." if usable else ""
