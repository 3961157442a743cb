"""How the embedding service and its clients talk: frames over a Unix socket.

A frame is two little-endian 32-bit lengths (of what follows both, and of the header in it), a JSON header and raw
bytes. A request's header has `id` and `op`; the answer has the same `id` and either `ok` or an `error`. Vectors travel
as raw float32, one after the other.
"""

import struct
from collections.abc import Iterator
from typing import Any

import orjson

LENGTHS = struct.Struct("<II")
# The largest frame either side takes: 32 MiB of sound or pictures, or 2,048 texts, with room to spare.
MAX_FRAME = 64 * 1024 * 1024
# Inputs of one request; OpenAI takes as many.
MAX_INPUTS = 2048


class BadFrame(Exception):
    """The other side does not speak this protocol, or said too much at once."""


def encode(header: dict[str, Any], body: bytes | memoryview = b"") -> bytes:
    """One frame. Raises BadFrame when it is too large."""
    head = orjson.dumps(header)
    total = len(head) + len(body)
    if total > MAX_FRAME:
        raise BadFrame(f"a frame of {total:,} bytes; {MAX_FRAME:,} are allowed")
    return b"".join((LENGTHS.pack(total, len(head)), head, body))


def decode(frame: memoryview, head: int) -> tuple[dict[str, Any], bytes]:
    """Header and body of what followed the lengths. Raises BadFrame."""
    if head > len(frame):
        raise BadFrame("a header that is longer than its frame")
    try:
        header = orjson.loads(frame[:head])
    except orjson.JSONDecodeError:
        raise BadFrame("a header that is no JSON") from None
    if not isinstance(header, dict):
        raise BadFrame("a header that is no object")
    return header, bytes(frame[head:])


def lengths(start: bytes | bytearray | memoryview) -> tuple[int, int]:
    """The two lengths that a frame begins with. Raises BadFrame."""
    total, head = LENGTHS.unpack_from(start)
    if total > MAX_FRAME or head > total:
        raise BadFrame("lengths that no frame has")
    return total, head


class Reader:
    """Puts frames together from what arrives, however it was cut. `size`: that of the last one, in bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The frames that `data` completes. Raises BadFrame."""
        self._buffer += data
        while len(self._buffer) >= LENGTHS.size:
            total, head = lengths(self._buffer)
            end = LENGTHS.size + total
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                frame = decode(view[LENGTHS.size : end], head)
            del self._buffer[:end]
            self.size = end
            yield frame


def clean(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
