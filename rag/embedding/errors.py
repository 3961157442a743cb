"""What can go wrong with an embedding. No message holds a text that was to be embedded.

These pass over the socket as well: `kind` names the class there and `details()` what it is made of again.
"""

from typing import Any, ClassVar


class EmbeddingError(Exception):
    """`str()` is for people. `retriable`: the same call may succeed later."""

    kind: ClassVar[str] = "failed"
    retriable: ClassVar[bool] = False

    def details(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"message": str(self)}


class EmbedderAway(EmbeddingError):
    """The embedding worker does not answer. It is started again by itself."""

    kind, retriable = "away", True

    def __init__(self, message: str = "The embedding worker does not answer.") -> None:
        super().__init__(message)


class Overloaded(EmbeddingError):
    """More waits to be embedded than should."""

    kind, retriable = "overloaded", True

    def __init__(self, message: str = "Too much waits to be embedded; try again in a moment.") -> None:
        super().__init__(message)


class UnknownModel(EmbeddingError):
    """Nothing is known of a model of this name, or it is one of another modality."""

    kind = "unknown_model"

    def __init__(self, model: str, why: str = "is no embedding model of this installation") -> None:
        super().__init__(f"{model or 'The model'} {why}.")
        self.model, self.why = model, why

    def details(self) -> dict[str, Any]:
        return {"model": self.model, "why": self.why}


class ModelUnavailable(EmbeddingError):
    """The model is known and cannot be used now: its weights are absent, being fetched, or do not load."""

    kind, retriable = "unavailable", True

    def __init__(self, model: str, why: str) -> None:
        super().__init__(f"{model} cannot be used: {why}.")
        self.model, self.why = model, why

    def details(self) -> dict[str, Any]:
        return {"model": self.model, "why": self.why}


class BadInput(EmbeddingError):
    """One of the inputs cannot be embedded by any model: token ids out of range, bytes that are no picture."""

    kind = "bad_input"

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"Input {index} {why}.")
        self.index, self.why = index, why

    def details(self) -> dict[str, Any]:
        return {"index": self.index, "why": self.why}


class TooLong(EmbeddingError):
    """An input has more tokens than the model takes (a sound: seconds), and truncating was not asked for."""

    kind = "too_long"

    def __init__(self, index: int, tokens: int, limit: int, unit: str = "tokens", *, at_least: bool = False) -> None:
        # Of a very long one not all are counted.
        self.amount = f"{'more than ' if at_least else ''}{tokens} {unit}"
        super().__init__(f"Input {index} has {self.amount}; the model takes {limit}.")
        self.index, self.tokens, self.limit, self.unit, self.at_least = index, tokens, limit, unit, at_least

    def details(self) -> dict[str, Any]:
        return {
            "index": self.index, "tokens": self.tokens, "limit": self.limit,
            "unit": self.unit, "at_least": self.at_least,
        }  # fmt: skip


class BadDimensions(EmbeddingError):
    """The model cannot make vectors of this length."""

    kind = "bad_dimensions"

    def __init__(self, model: str, allowed: list[int]) -> None:
        choices = ", ".join(map(str, allowed))
        super().__init__(f"{model} makes vectors of {choices} dimensions.")
        self.model, self.allowed = model, allowed

    def details(self) -> dict[str, Any]:
        return {"model": self.model, "allowed": self.allowed}


class BadVector(EmbeddingError):
    """The model made no usable vector of an input: not a number, infinite, or zero."""

    kind = "bad_vector"

    def __init__(self, index: int, model: str) -> None:
        super().__init__(f"{model} made no usable vector of input {index}.")
        self.index, self.model = index, model

    def details(self) -> dict[str, Any]:
        return {"index": self.index, "model": self.model}


KINDS: dict[str, type[EmbeddingError]] = {
    each.kind: each
    for each in (
        EmbedderAway, Overloaded, UnknownModel, ModelUnavailable, BadInput, TooLong, BadDimensions, BadVector,
    )
}  # fmt: skip


def describe(error: EmbeddingError) -> dict[str, Any]:
    """An error as the socket carries it."""
    return {"kind": error.kind, **error.details()}


def revive(described: dict[str, Any]) -> EmbeddingError:
    """The error that `describe` described; a plain `EmbeddingError` for a kind from a newer worker."""
    details = dict(described)
    made = KINDS.get(details.pop("kind", ""))
    try:
        return made(**details) if made else EmbeddingError(str(details.get("message", "Embedding failed.")))
    except TypeError:
        return EmbeddingError("Embedding failed.")
