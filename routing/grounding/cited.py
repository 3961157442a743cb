"""Puts citations into an answer: `choices[].message.annotations`, or an event at a stream's end.

Each source that the model was shown is one; those that the answer names also say where it does, by `start_index` and
`end_index`, which count the answer's characters, and come first.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from gateway_project.lib.wire import LastPart
from routing import stream_text
from routing.exchange import KEPT
from routing.grounding.sources import Source
from routing.providers import sse

# [1], [2][3], [1, 4], also as models trained on other brackets write it.
_MARK = re.compile(
    r"[\[\u3010]\s*(?:sources?\s*)?(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*(?:\u2020[^\]\u3011]{0,80})?[\]\u3011]",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
# Places that are told of an answer, each with the passage's words: a model that a document has say [1] ten thousand
# times must not make an answer of a hundred megabytes.
MOST_PLACES = 200


def annotations(text: str, shown: Sequence[Source]) -> list[dict[str, Any]]:
    """The citations of an answer: an entry for each place that names a source, the first `MOST_PLACES` of them, then
    the sources that none does.
    """
    by_number = {source.number: source for source in shown}
    made: list[dict[str, Any]] = []
    named: set[int] = set()
    for mark in _MARK.finditer(text):
        for number in dict.fromkeys(map(int, _NUMBER.findall(mark[1]))):
            source = by_number.get(number)
            if source is not None:
                named.add(number)
                if len(made) == MOST_PLACES:
                    continue
                where = {"cited": True, "start_index": mark.start(), "end_index": mark.end()}
                made.append(source.annotation() | where)
    return made + [source.annotation() | {"cited": False} for source in shown if source.number not in named]


def whole(body: bytes, shown: Sequence[Source]) -> bytes:
    """A whole answer's JSON with the annotations of each choice behind those that it has; as it is if it has none."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    choices = answer.get("choices") if type(answer) is dict else None
    for choice in choices if type(choices) is list else ():
        message = choice.get("message") if type(choice) is dict else None
        if type(message) is dict:
            content, given = message.get("content"), message.get("annotations")
            made = annotations(content if type(content) is str else "", shown)
            message["annotations"] = [*(given if type(given) is list else ()), *made]
    return orjson.dumps(answer)


async def stream(blocks: AsyncIterator[bytes], shown: Sequence[Source]) -> AsyncIterator[bytes]:
    """`blocks` with one more event before the end: a chunk whose `delta` has the annotations of the first choice.

    A stream that ends with an error has none.
    """
    kept: list[bytes] = []
    size = 0
    async with aclosing(blocks):  # type: ignore[type-var]
        async for block in blocks:
            if size < KEPT:
                kept.append(block)
                size += len(block)
            if not sse.ends(block):
                yield block
                continue
            at = block.rfind(b"data:")
            made = block[:at] + _event(kept, shown) + block[at:]
            yield LastPart(made) if type(block) is LastPart else made


def _event(kept: Sequence[bytes], shown: Sequence[Source]) -> bytes:
    said = stream_text.contents(kept)
    head = sse.first_chunk(kept[0]) or {}
    chunk = {
        "id": head.get("id", ""),
        "object": "chat.completion.chunk",
        "created": head.get("created", 0),
        "model": head.get("model", ""),
        "choices": [
            {
                "index": 0,
                "delta": {"annotations": annotations(said[0] if said else "", shown)},
                "finish_reason": None,
            }
        ],
    }
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
