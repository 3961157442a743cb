"""The endpoints that share one way through the pipeline, and what sets them apart."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway_project.lib.errors import ApiError

if TYPE_CHECKING:
    from routing.exchange import Exchange


class Dialect(Protocol):
    """How an endpoint's clients speak, where it is not OpenAI's chat completions, which is all that the pipeline knows.

    A request is translated once it is read, and an answer once it is settled: nothing between them knows of either.
    """

    def request(self, body: dict[str, Any]) -> dict[str, Any]:
        """`body` as a chat completions request, gateway fields included. Raises `InvalidRequest`, naming the field."""
        ...

    def refusal(self, exchange: "Exchange", error: ApiError) -> ApiError:
        """`error` by the names of these clients' own fields. Raises nothing."""
        ...

    def answer(self, exchange: "Exchange") -> bytes:
        """The JSON to answer with, from `exchange.answer`, `.target`, `.usage` and `.cost`. Raises nothing."""
        ...

    def stream(self, exchange: "Exchange", blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """`blocks`, chat completion chunks as server-sent events, as these clients read them.

        Closing it closes `blocks`, and what stands for a `LastPart` is one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One public path, and the OpenAI-shaped request that it becomes upstream."""

    # Under an upstream's API base, and what a kind must be able to do to be asked.
    path: str
    capability: str
    # The member of the (translated) request that must be there and not empty.
    content: str
    # The path that the gateway's own clients call.
    public_path: str
    dialect: Dialect | None = None
    # Whether what comes back are vectors, and no text of a model.
    embeds: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "embeds", self.capability == "embeddings")


CHAT = Endpoint("/chat/completions", "chat", "messages", "/v1/chat/completions")
COMPLETIONS = Endpoint("/completions", "completions", "prompt", "/v1/completions")
EMBEDDINGS = Endpoint("/embeddings", "embeddings", "input", "/v1/embeddings")
