"""An answer before it is sent: a whole body, or a stream's events, each ready bytes."""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson


@dataclass(frozen=True)
class Answer:
    """`events` (with `body` None) is a stream: each item is one event's bytes, separator included."""

    content_type: str
    body: bytes | None = None
    events: Iterable[bytes] = ()

    @classmethod
    def json(cls, value: object) -> "Answer":
        return cls("application/json", orjson.dumps(value))

    @classmethod
    def stream(cls, events: Iterable[bytes]) -> "Answer":
        return cls("text/event-stream; charset=utf-8", None, events)


def event(value: object, name: str = "") -> bytes:
    """One server-sent event that holds `value` as JSON."""
    prefix = f"event: {name}\n".encode() if name else b""
    return prefix + b"data: " + orjson.dumps(value) + b"\n\n"


def words(text: str, count: int) -> list[str]:
    """What a model says, in `count` pieces: `text` cut evenly, or "word 0 ", "word 1 ", … when there is none."""
    if not text:
        return [f"word {number} " for number in range(count)]
    size = -(-len(text) // max(count, 1))
    return [text[start : start + size] for start in range(0, len(text), size)]
