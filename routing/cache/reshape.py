"""A whole answer as a stream of events, and the events of a stream as a whole answer."""

from collections.abc import Iterator
from typing import Any

import orjson

from routing.endpoints import CHAT
from routing.providers import sse

# What a delta says once; all other texts of it are pieces.
SAID_ONCE = frozenset({"role", "id", "type", "name", "index"})


class NotUnderstood(Exception):
    """A stream with something in it that is in no known way put together."""


# What an answer of no known shape comes to: an upstream may send anything.
ODD = (NotUnderstood, AttributeError, KeyError, TypeError, ValueError, RecursionError)


# --- A whole answer as a stream -------------------------------------------------------------------


def as_stream(answer: dict[str, Any], *, usage_wanted: bool) -> bytes:
    """The events that OpenAI would send: each choice's role, its content in one piece, its end, usage, `[DONE]`.

    Raises any of `ODD`.
    """
    chat = answer.get("object") == "chat.completion" or any("message" in choice for choice in answer["choices"])
    head = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    if chat:
        head["object"] = "chat.completion.chunk"
    nulls = {"usage": None} if usage_wanted else {}
    chunks = [
        {**head, "choices": [piece], **nulls}
        for choice in answer["choices"]
        for piece in (_chat_pieces(choice) if chat else _text_pieces(choice))
    ]
    if usage_wanted:
        chunks.append({**head, "choices": [], "usage": answer.get("usage")})
    return b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]) + sse.DONE


def _chat_pieces(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    others = {name: value for name, value in choice.items() if name not in ("message", "finish_reason", "logprobs")}
    said = dict(choice.get("message") or {})
    role = said.pop("role", "assistant")
    yield {**others, "delta": {"role": role, "content": ""}, "logprobs": None, "finish_reason": None}
    calls = said.get("tool_calls")
    if type(calls) is list:
        said["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    delta = {name: value for name, value in said.items() if value is not None}
    if delta:
        yield {**others, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}
    yield {**others, "delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason")}


def _text_pieces(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {**choice, "finish_reason": None}
    yield {**choice, "text": "", "logprobs": None}


# --- A stream as the client asked for it ----------------------------------------------------------


def as_asked(stream: bytes, *, usage_wanted: bool) -> bytes:
    """The stored events; without usage, which the gateway asked for, where the client did not."""
    if usage_wanted or stream.rfind(sse.USAGE) < 0:
        return stream
    shown, at = [], 0
    for start, end in sse.usage_events(stream):
        chunk = sse.json_of(stream[start:end])
        if chunk is not None and type(chunk.get("usage")) is dict and not chunk.get("choices"):
            shown.append(stream[at:start])
            at = end
    return sse.without_null_usage(b"".join((*shown, stream[at:])))


# --- A stream as a whole answer -------------------------------------------------------------------


def as_whole(stream: bytes, *, path: str) -> dict[str, Any]:
    """What the same answer would have been as a whole. Raises any of `ODD` rather than leave anything out."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        chunk = sse.json_of(event)
        if chunk is None:
            if b"data:" in event and sse.data_of(event) != b"[DONE]":
                raise NotUnderstood("an event without an object")
            continue
        for name, value in chunk.items():
            if name == "choices":
                _take(choices, value, chat=path == CHAT.path)
            elif value is not None or name not in answer:
                answer[name] = value
    if not choices:
        raise NotUnderstood("no choice")
    if answer.get("object") == "chat.completion.chunk":
        answer["object"] = "chat.completion"
    usage = answer.pop("usage", None)
    return {**answer, "choices": [choices[index] for index in sorted(choices)], "usage": usage}


def _take(choices: dict[int, dict[str, Any]], pieces: Any, *, chat: bool) -> None:
    if type(pieces) is not list:
        raise NotUnderstood("choices that are no list")
    for piece in pieces:
        if type(piece) is not dict or type(piece.get("index", 0)) is not int:
            raise NotUnderstood("a choice that is none")
        index = piece.get("index", 0)
        choice = choices.get(index)
        if choice is None:
            said: dict[str, Any] = {"message": {"role": "assistant", "content": None}} if chat else {"text": ""}
            choice = choices[index] = {"index": index, **said, "logprobs": None, "finish_reason": None}
        for name, value in piece.items():
            if name == "delta":
                _join(choice["message"], value or {})
            elif name != "index":
                _join(choice, {name: value} if name != "finish_reason" or value else {})


def _join(whole: dict[str, Any], piece: Any) -> None:
    """Add a piece to what it is one of: texts and lists are continued, numbered parts found, the rest stated."""
    if type(piece) is not dict:
        raise NotUnderstood("a piece that is no object")
    for name, value in piece.items():
        before = whole.get(name)
        if value is None:
            whole.setdefault(name, None)
        elif name in ("tool_calls",):
            whole[name] = _numbered(before or [], value)
        elif type(value) is str:
            whole[name] = value if before is None or name in SAID_ONCE or name == "finish_reason" else before + value
        elif type(value) is list:
            if before is None:
                before = whole[name] = []
            before.extend(value)
        elif type(value) is dict:
            whole[name] = {} if before is None else before
            _join(whole[name], value)
        elif before is None or before == value:
            whole[name] = value
        else:
            raise NotUnderstood(f"two values of {name}")


def _numbered(calls: list[dict[str, Any]], pieces: Any) -> list[dict[str, Any]]:
    """The calls of tools, continued; a call is known by its `index`, which a whole answer does not have."""
    if type(pieces) is not list:
        raise NotUnderstood("calls that are no list")
    for piece in pieces:
        index = piece.get("index") if type(piece) is dict else None
        if type(index) is not int or not 0 <= index <= len(calls):
            raise NotUnderstood("a call without its number")
        if index == len(calls):
            calls.append({})
        _join(calls[index], {name: value for name, value in piece.items() if name != "index"})
    return calls
