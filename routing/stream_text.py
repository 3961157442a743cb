"""What stands in a stream's bytes, found by searching them: an event is parsed only where that does not suffice."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from routing.providers import sse

# A finish reason stands in the last event, or before one with usage and one with nothing but the end.
LAST_BLOCKS = 3
# A refusal is one from its beginning. Blocks, and bytes.
FIRST_BLOCKS, HEAD = 3, 4096

# Within a JSON string a quotation mark is escaped, so nothing of this is found in what a model wrote.
FINISH, STOP = b'"finish_reason"', b':"stop"'
REFUSAL = b'"refusal":"'
_REFUSED = re.compile(REFUSAL + rb'[^"]')
_TEXT = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_CONTENT = re.compile(rb'"content"\s*:\s*' + _TEXT)
_ARGUMENTS = re.compile(rb'"arguments"\s*:\s*' + _TEXT)


def ending(blocks: Sequence[bytes]) -> tuple[str, bool]:
    """The last finish reason of a stream ("": none at its end), and whether it is a refusal."""
    head = b"".join(blocks[:FIRST_BLOCKS])
    refused = head.find(REFUSAL, 0, HEAD) >= 0 and _REFUSED.search(head) is not None
    tail = b"".join(blocks[-LAST_BLOCKS:])
    at = tail.rfind(FINISH)
    if at < 0:
        return "", refused
    at += len(FINISH)
    if tail.startswith(STOP, at):  # as a rule
        return "stop", refused
    # `:"length"}],…` or `: null}],…`
    value = tail[at : at + 40].split(b'"', 2)
    return (value[1].decode("latin-1") if len(value) == 3 and not value[0].strip(b" :") else ""), refused


def contents(blocks: Sequence[bytes]) -> list[str]:
    """What each choice of a stream says."""
    return _in_one_piece(_CONTENT, blocks) or _together(blocks, _content)


def arguments(blocks: Sequence[bytes]) -> list[str]:
    """The arguments of each call of a tool in a stream."""
    return _in_one_piece(_ARGUMENTS, blocks) or _together(blocks, _call_arguments)


def _in_one_piece(pattern: re.Pattern[bytes], blocks: Sequence[bytes]) -> list[str]:
    """What `pattern` finds, if together it is one JSON document; that of several choices or calls is none."""
    try:
        text = orjson.loads(b'"' + b"".join(pattern.findall(b"".join(blocks))) + b'"')
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return [text]


def _together(blocks: Sequence[bytes], said: Any) -> list[str]:
    """The texts that `said` finds in the choices of each chunk, put together by what they belong to."""
    texts: dict[Any, list[str]] = {}
    for line in b"".join(blocks).splitlines():
        chunk = sse.json_of(line)
        choices = chunk.get("choices") if chunk else None
        for choice in choices if type(choices) is list else ():
            if type(choice) is dict and type(choice.get("delta")) is dict:
                for owner, text in said(choice["delta"]):
                    if type(text) is str:
                        texts.setdefault((choice.get("index"), owner), []).append(text)
    return [text for text in map("".join, texts.values()) if text]


def _content(delta: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield 0, delta.get("content")


def _call_arguments(delta: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    calls = delta.get("tool_calls")
    for call in calls if type(calls) is list else ():
        if type(call) is dict and type(call.get("function")) is dict:
            yield call.get("index"), call["function"].get("arguments")
