"""The transport of the gateway's own embedding models: the embedding worker, asked over its socket."""

from collections.abc import AsyncIterator
from typing import Any, Literal, cast

import orjson

from gateway_project.lib.errors import InvalidRequest
from rag.embedding import client
from rag.embedding.errors import EmbeddingError
from routing.embeddings import house, writing
from routing.embeddings.reading import NORMALIZE, TRUNCATE
from routing.embeddings.refusals import as_upstream_error
from routing.endpoints import EMBEDDINGS
from routing.providers.base import Failure, Target, Timeouts, UpstreamError

FLOAT, BASE64 = "float", "base64"
# What a text is for. Most models take documents as they are, so that is what a text is taken for.
ROLES = ("document", "query")


class EmbedderReply:
    """See `routing.providers.base.Reply`."""

    def __init__(self, body: bytes) -> None:
        self.body: bytes | None = body
        self.blocks: AsyncIterator[bytes] | None = None

    @property
    def ended(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


class Embedder:
    """The transport of `routing.embeddings.house`'s kind."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> EmbedderReply:
        """See `routing.providers.base.Transport`."""
        if endpoint != EMBEDDINGS.path:
            raise UpstreamError(Failure.UNSUPPORTED, f"The gateway's own models have no {endpoint}.")
        encoding = _chosen(body, "encoding_format", (FLOAT, BASE64))
        role = cast(Literal["query", "document"], _chosen(body, "input_type", ROLES))
        given = body["input"]
        inputs = [given] if type(given) is str or type(given[0]) is int else given
        try:
            made = await client.current.embed(
                inputs,
                model=target.prepared[house.ASKED],
                role=role,
                truncate=bool(body.get(TRUNCATE)),
                dimensions=_dimensions(body),
                normalize=bool(body.get(NORMALIZE, True)),
                timeout=timeouts.first_byte,
            )
        except EmbeddingError as error:
            raise as_upstream_error(error) from None
        return EmbedderReply(await writing.openai_shape(made, base64=encoding == BASE64))


def _chosen(body: dict[str, Any], field: str, choices: tuple[str, ...]) -> str:
    given = body.get(field)
    if given is None:
        return choices[0]
    if type(given) is not str or given not in choices:
        raise _refused(f"{field}: must be {' or '.join(choices)}.", field)
    return given


def _dimensions(body: dict[str, Any]) -> int | None:
    given = body.get("dimensions")
    if given is not None and (type(given) is not int or given < 1):
        raise _refused("dimensions: must be a whole number, at least 1.", "dimensions")
    return given


def _refused(message: str, field: str) -> UpstreamError:
    error = InvalidRequest(message, param=field)
    return UpstreamError(Failure.STATUS, message, status=error.status, body=orjson.dumps(error.body()))
