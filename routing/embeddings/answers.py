"""What came back from a provider that was asked for embeddings: is it that, and what did it use?"""

import re
from typing import Any

import orjson

from gateway_project.lib import bounded_json
from routing.embeddings import house
from routing.embeddings.reading import how_many
from routing.embeddings.writing import VECTOR
from routing.exchange import Exchange
from routing.providers.base import Failure, UpstreamError

# Longer answers are not read as JSON, as nothing of them but their usage is of interest: a thousand vectors are
# megabytes of numbers, which would keep everybody waiting.
READ = 256 * 1024
# Where, from an end, model and usage stand in those.
NEAR = 4096
# Numbers of an answer that has to be read whole.
MOST_NUMBERS = 8_000_000

_USAGE = re.compile(rb'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_VECTOR = re.compile(rb'"embedding"\s*:')


def checked(exchange: Exchange, body: bytes) -> dict[str, Any]:
    """The answer's JSON; of a long one only `model` and `usage`. Raises `UpstreamError` when it is no embeddings.

    Its vectors are there, however long it is, if a dialect is to say them in its own way and they are a provider's.
    """
    wanted = how_many(exchange.body["input"])
    told = exchange.endpoint.dialect is not None and not house.is_house(exchange.target)
    if len(body) <= READ or told:
        return _read(body, wanted, numbers=told)
    if body.lstrip()[:1] != b"{":
        raise UpstreamError(Failure.JUNK, "answered with something that is not JSON")
    # The first is many times as quick, and holds for all who write no space there.
    if body.count(VECTOR) != wanted and sum(1 for _ in _VECTOR.finditer(body)) != wanted:
        raise UpstreamError(Failure.JUNK, f"answered with JSON that is not {wanted} embeddings")
    ends = body[:NEAR], body[-NEAR:]
    found: dict[str, Any] = {}
    for name, pattern in (("usage", _USAGE), ("model", _MODEL)):
        match = pattern.search(ends[0]) or pattern.search(ends[1])
        if match is not None:
            found[name] = _value(match[1])
    return found


def _value(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _read(body: bytes, wanted: int, *, numbers: bool) -> dict[str, Any]:
    if body.count(b",") > MOST_NUMBERS:
        raise UpstreamError(Failure.JUNK, "answered with too much: it has more numbers than any embeddings")
    try:
        found = orjson.loads(body) if numbers else bounded_json.loads(body)
    except bounded_json.TooManyValues as error:
        raise UpstreamError(Failure.JUNK, f"answered with too much: {error}") from None
    except orjson.JSONDecodeError:
        what = "an HTML page" if body.lstrip()[:1] == b"<" else "something that is not JSON"
        raise UpstreamError(Failure.JUNK, f"answered with {what}") from None
    data = found.get("data") if type(found) is dict else None
    if type(data) is not list or len(data) != wanted or not all(_is_embedding(each, numbers) for each in data):
        raise UpstreamError(Failure.JUNK, f"answered with JSON that is not {wanted} embeddings")
    return found  # type: ignore[no-any-return]


def _is_embedding(each: Any, numbers: bool) -> bool:
    vector = each.get("embedding") if type(each) is dict else None
    if not numbers:
        return type(vector) in (list, str) and bool(vector)
    return type(vector) is list and bool(vector) and set(map(type, vector)) <= {int, float}
