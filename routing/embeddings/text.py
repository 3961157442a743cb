"""`/v1/embeddings/text`: texts in, vectors out, for callers that want nothing else of OpenAI's API."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from gateway_project.lib.errors import ApiError, InvalidRequest
from routing.embeddings import house, reading, writing
from routing.exchange import Exchange

# Passed on as they are: the pipeline checks them.
PASSED = (
    reading.TRUNCATE, "model", "input_type", "dimensions", "privacy_mode", "sensitivity", "cache", "metadata",
)  # fmt: skip
# What OpenAI's API has `text` and `texts` in.
INPUT = "input"
FIELDS = ("text", "texts", reading.NORMALIZE, *PASSED)
# Characters of an unknown field's name that the refusal shows.
SHOWN = 100


@dataclass(frozen=True, slots=True)
class PlainText:
    """The endpoint's dialect (`routing.endpoints.Dialect`)."""

    def request(self, body: dict[str, Any]) -> dict[str, Any]:
        for name in body:
            if name not in FIELDS:
                shown = name[:SHOWN]
                raise InvalidRequest(f"{shown}: unknown; the fields are {', '.join(FIELDS)}.", param=shown)
        given = {name: body[name] for name in PASSED if body.get(name) is not None}
        given |= {INPUT: _texts(body), "encoding_format": "float"}
        if body.get(reading.NORMALIZE) is not None:
            given[reading.NORMALIZE] = body[reading.NORMALIZE]
        return given

    def refusal(self, exchange: Exchange, error: ApiError) -> ApiError:
        if error.param == INPUT:
            alone = type(exchange.body.get(INPUT)) is str
            error.param = "text" if alone else "texts"
            said = f"{INPUT}: number 0 " if alone else f"{INPUT}: "
            if error.message.startswith(said):
                error.message = f"{error.param}: {error.message.removeprefix(said)}"
        return error

    def answer(self, exchange: Exchange) -> bytes:
        own, data = house.is_house(exchange.target), exchange.answer.get("data")
        model = exchange.target.model if exchange.target else ""
        if data is None:  # too long to be read, and written by us
            found = [part[: part.index(b"]") + 1] for part in exchange.whole.split(writing.VECTOR)[1:]]
            return writing.plain(b"[%b]" % b",".join(found), model, found[0].count(b",") + 1)
        data.sort(key=_place)
        vectors = [each["embedding"] for each in data]
        if not own and exchange.body.get(reading.NORMALIZE, True):
            vectors = [_normalized(vector) for vector in vectors]
        return writing.plain(orjson.dumps(vectors), model, len(vectors[0]))

    def stream(self, exchange: Exchange, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return blocks  # there is no way to ask for one


def _texts(body: dict[str, Any]) -> str | list[str]:
    text, texts = body.get("text"), body.get("texts")
    if (text is None) == (texts is None):
        raise InvalidRequest("text: must be a text; or texts: a list of them.", param="text")
    if text is not None:
        if type(text) is not str or not text:
            raise InvalidRequest("text: must be a text, and not empty.", param="text")
        return text
    if type(texts) is not list or not texts or set(map(type, texts)) != {str}:
        raise InvalidRequest("texts: must be a list of texts, and not empty.", param="texts")
    reading.check_inputs(texts, "texts")
    return texts


def _place(each: dict[str, Any]) -> int:
    index = each.get("index")
    return index if type(index) is int else 0


def _normalized(vector: list[float]) -> list[float]:
    length = math.sqrt(math.fsum(number * number for number in vector))
    return [number / length for number in vector] if length and math.isfinite(length) else vector
