"""Server-sent events as bytes: where they end, and what the gateway must see in them. No more is parsed than that."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

# How far from a block's end an error is looked for, in bytes.
ERROR_TAIL = 4096

# How far from its beginning an event's end is looked for the quick way, in bytes. A bound keeps this linear.
NEAR = 2048

# An event that is longer is not a model's: the stream is given up instead of buffered.
MAX_EVENT = 8 * 1024 * 1024

# What every mention of usage has; bytes are searched for it several times as fast as by an expression.
USAGE = b'"usage"'
DONE = b"data: [DONE]\n\n"
_DONE_LINE = re.compile(rb"^data:[ ]?\[DONE\][\r\n]*\Z", re.MULTILINE)
_ENDINGS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_USAGE_OBJECT = re.compile(rb'"usage"\s*:\s*\{')
_ERROR = b'"error"'
_ERROR_OBJECT = re.compile(rb'\{\s*"error"\s*:')
# A quotation mark inside a JSON string is escaped, so this cannot match text that a model wrote.
_USAGE_NULL = re.compile(rb',\s*"usage"\s*:\s*null')
_FIELD_START = re.compile(rb"\s*(data|event|id|retry)?:")


def whole_events(buffered: bytes | bytearray) -> int:
    """How many leading bytes of `buffered` are whole events; what is after them has yet to be completed."""
    if buffered.endswith(b"\n\n"):  # as nearly always
        return len(buffered)
    end = buffered.rfind(b"\n\n")
    end = end + 2 if end >= 0 else 0
    if buffered.find(b"\r") >= 0:
        for ending in _ENDINGS[1:]:
            at = buffered.rfind(ending)
            if at >= 0:
                end = max(end, at + len(ending))
    return end


def looks_like_events(block: bytes) -> bool:
    """Whether `block` begins as an event stream does."""
    return _FIELD_START.match(block) is not None


def data_of(event: bytes) -> bytes:
    """The event's data lines, joined as the specification says."""
    if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[5:-2].removeprefix(b" ")  # one line, as nearly always
    lines = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def json_of(event: bytes) -> dict[str, Any] | None:
    """The JSON object that the event carries, or None when it carries something else."""
    try:
        found = orjson.loads(data_of(event))
    except orjson.JSONDecodeError:
        return None
    return found if type(found) is dict else None


def first_chunk(block: bytes) -> dict[str, Any] | None:
    """The JSON object of the block's first event with data, or None when that is none, or there is no such event."""
    at = block.find(b"data:")
    end = _end_of_event(block, at) if at >= 0 else -1
    return json_of(block[at:end]) if end >= 0 else None


def is_error(chunk: dict[str, Any]) -> bool:
    """Whether an event's object says that the stream failed."""
    return bool(chunk.get("error")) and not chunk.get("choices")


def error_event(block: bytes) -> int | None:
    """Where an event begins by which the upstream says that it failed; None when there is none."""
    # An upstream that failed says so and ends, so only the end is searched.
    if block.rfind(_ERROR, -ERROR_TAIL) < 0:  # searched for many times as fast as by an expression
        return None
    for start, end in _events_with(_ERROR_OBJECT, block, max(0, len(block) - ERROR_TAIL)):
        chunk = json_of(block[start:end])
        if chunk is not None and is_error(chunk):
            return start
    return None


def ends(block: bytes) -> bool:
    """Whether the block's last event is the stream's end."""
    if block.find(b"[DONE]", -64) < 0:
        return False
    return block.endswith(DONE) or _DONE_LINE.search(block[-64:]) is not None


def has_usage(event: bytes) -> bool:
    """Whether the event has a usage object."""
    return _USAGE_OBJECT.search(event) is not None


def usage_events(block: bytes) -> Iterator[tuple[int, int]]:
    """Where, from and to, the events of a block stand that have a usage object."""
    return _events_with(_USAGE_OBJECT, block)


def _events_with(pattern: re.Pattern[bytes], block: bytes, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Where the events stand that `pattern` is found in, at `begin` or later.

    Each comes once, and no byte is looked at twice: whatever a server sends, this is linear in the block's length.
    """
    end = 0
    for found in pattern.finditer(block, begin):
        if found.start() >= end:
            start, end = event_around(block, found.start(), end)
            yield start, end


def event_around(block: bytes, at: int, begin: int = 0) -> tuple[int, int]:
    """Where, from and to, the event of a block stands that has the byte at `at`; it starts at `begin` or later."""
    start = begin
    # Nearly every server ends its lines without a CR, and looking for one is quicker than for an ending that has it.
    for ending in _ENDINGS if block.find(b"\r", begin, at) >= 0 else _ENDINGS[:1]:
        before = block.rfind(ending, begin, at)
        if before >= 0:
            start = max(start, before + len(ending))
    end = _end_of_event(block, at)
    return start, end if end >= 0 else len(block)


def _end_of_event(block: bytes, at: int) -> int:
    """Where the event that has the byte at `at` ends, its ending included; -1 when it does not."""
    end = block.find(b"\n\n", at, at + NEAR) + 2
    if end >= 2 and block.find(b"\r", at, end) < 0:
        return end
    ended = _EVENT_END.search(block, at)
    return ended.end() if ended else -1


def without_null_usage(block: bytes) -> bytes:
    """The block without the `"usage": null` that asking for usage adds to every chunk."""
    block = block.replace(b',"usage":null', b"")
    return _USAGE_NULL.sub(b"", block) if b'"usage"' in block else block
