"""What callers are told when the embedding worker makes no vectors. No message holds what was to be embedded."""

import orjson

from gateway_project.lib.errors import ApiError, InvalidRequest, ModelNotFound, NoAvailableModel, ServiceUnavailable
from rag.embedding.errors import (
    BadDimensions,
    BadInput,
    EmbedderAway,
    EmbeddingError,
    Overloaded,
    TooLong,
    UnknownModel,
)
from routing.providers.base import Failure, UpstreamError

# Seconds after which it is worth another try: a worker that died is started again and reads its libraries, a crowd has
# gone, weights are on their way.
STARTED, CALM, FETCHED = 15, 1, 30


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


def as_api_error(error: EmbeddingError, field: str = "input") -> ApiError:
    """`error` in the contract's terms; `field` is the one that held what was to be embedded."""
    match error:
        case TooLong():
            return ContextLengthExceeded(
                f"{field}: number {error.index} has {error.amount}, and the model takes {error.limit}. "
                "`truncate: true` has what is beyond cut off.",
                param=field,
                details={"index": error.index, "limit": error.limit},
            )
        case BadInput():
            return InvalidRequest(f"{field}: number {error.index} {error.why}.", param=field)
        case BadDimensions():
            return InvalidRequest(f"dimensions: {error}", param="dimensions")
        case UnknownModel():
            return ModelNotFound(str(error), param="model")
        case EmbedderAway():
            return ServiceUnavailable(str(error), headers={"retry-after": str(STARTED)})
        case Overloaded():
            return ServiceUnavailable(str(error), headers={"retry-after": str(CALM)})
        case _:
            return NoAvailableModel(str(error), headers={"retry-after": str(FETCHED)})


def as_upstream_error(error: EmbeddingError) -> UpstreamError:
    """`error` as a provider would have said it, for the pipeline to draw its conclusions."""
    told = as_api_error(error)
    wait = told.headers.get("retry-after")
    return UpstreamError(
        Failure.STATUS,
        told.message,
        status=told.status,
        body=orjson.dumps(told.body()),
        retry_after=None if wait is None else float(wait),
    )
