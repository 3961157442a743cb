"""Is a request for embeddings one that can be sent on? OpenAI's shape, and the gateway's own fields beside it."""

from typing import Any

from gateway_project.lib.errors import InvalidRequest
from rag.embedding.wire import MAX_INPUTS
from routing.naming import AUTO

# The gateway's own fields: they are for its own models, and no provider is sent them.
TRUNCATE, NORMALIZE = "truncate", "normalize"
OWN_FIELDS = (TRUNCATE, NORMALIZE)
# No vocabulary has more.
LARGEST_TOKEN = 2**31 - 1


def default_model(body: dict[str, Any]) -> None:
    """Without a model's name, or with an empty one, it is `auto`: the gateway's own text model."""
    if body.get("model") in (None, ""):
        body["model"] = AUTO


def check(body: dict[str, Any]) -> None:
    """Raises `InvalidRequest`, naming the field that was wrong."""
    if body.get("stream"):
        raise InvalidRequest("stream: embeddings are not streamed.", param="stream")
    check_inputs(body.get("input"), "input")
    for field in OWN_FIELDS:
        if type(body.get(field, False)) is not bool:
            raise InvalidRequest(f"{field}: must be true or false.", param=field)


def check_inputs(inputs: Any, field: str) -> None:
    """A text, texts, the token ids of one, or of several: one kind of them, none of them empty."""
    if type(inputs) is str:
        if not inputs:
            raise InvalidRequest(f"{field}: must not be empty.", param=field)
        return
    if type(inputs) is not list or not inputs:
        raise InvalidRequest(f"{field}: must be a text, a list of texts, or token ids, and not empty.", param=field)
    kinds = set(map(type, inputs))
    if kinds == {int}:
        _check_tokens(inputs, field)
        return
    if len(inputs) > MAX_INPUTS:
        raise InvalidRequest(
            f"{field}: at most {MAX_INPUTS} inputs are embedded in one call, not {len(inputs)}.", param=field
        )
    if kinds == {str}:
        if not all(inputs):
            index = inputs.index("")
            raise InvalidRequest(f"{field}[{index}]: must not be empty.", param=f"{field}[{index}]")
    elif kinds == {list}:
        for index, tokens in enumerate(inputs):
            if not tokens or set(map(type, tokens)) != {int}:
                raise InvalidRequest(f"{field}[{index}]: must be token ids, at least one.", param=f"{field}[{index}]")
            _check_tokens(tokens, f"{field}[{index}]")
    else:
        raise InvalidRequest(f"{field}: must be all texts, all token ids, or all lists of token ids.", param=field)


def _check_tokens(tokens: list[int], field: str) -> None:
    if min(tokens) < 0 or max(tokens) > LARGEST_TOKEN:
        raise InvalidRequest(f"{field}: has a number that is no token id.", param=field)


def how_many(inputs: Any) -> int:
    """How many vectors are asked for by inputs that were checked."""
    return len(inputs) if type(inputs) is list and type(inputs[0]) is not int else 1
