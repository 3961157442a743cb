"""Messages between the parser's process and ours: a kind (one byte), a length (eight), and that many bytes."""

import struct
from typing import BinaryIO

HEAD = struct.Struct(">cQ")
PAGE = struct.Struct(">L")

RESULT = b"R"  # child: an `Extracted`, as JSON
ERROR = b"E"  # child: {"code", "message", "detail"}
IMAGE = (
    b"I"  # child: a page's number (`PAGE`) and a PNG of it, whose text is wanted; answered by TEXT before anything else
)
TEXT = b"T"  # parent: UTF-8
JOB = b"J"  # parent: what to parse


def write(stream: BinaryIO, kind: bytes, payload: bytes) -> None:
    """Send one message and flush it."""
    stream.write(HEAD.pack(kind, len(payload)))
    stream.write(payload)
    stream.flush()


def read(stream: BinaryIO, most: int) -> tuple[bytes, bytes]:
    """The next message's kind and payload. Raises EOFError at the end, ValueError for one longer than `most`."""
    head = _exactly(stream, HEAD.size)
    kind, length = HEAD.unpack(head)
    if length > most:
        raise ValueError("message too long")
    return kind, _exactly(stream, length)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
