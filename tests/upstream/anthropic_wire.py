"""Anthropic's `POST /v1/messages`, JSON and server-sent events."""

from collections.abc import Iterator
from typing import Any

from tests.upstream.answer import Answer, event, words
from tests.upstream.behaviour import Behaviour


def usage_of(behaviour: Behaviour) -> dict[str, Any]:
    if behaviour.usage_object is not None:
        return behaviour.usage_object
    return {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": behaviour.chunks,
    }


def tool_use(body: dict[str, Any]) -> dict[str, Any] | None:
    tools = body.get("tools")
    return (
        {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": {"city": "Zürich"}} if tools else None
    )


def messages(body: dict[str, Any], behaviour: Behaviour) -> Answer:
    if body.get("stream"):
        return Answer.stream(message_events(body, behaviour))
    text = behaviour.text or "".join(words("", behaviour.chunks))
    call = tool_use(body)
    return Answer.json(
        {
            "id": "msg_upstream",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": [call or {"type": "text", "text": text}],
            "stop_reason": "tool_use" if call else "end_turn",
            "stop_sequence": None,
            "usage": usage_of(behaviour),
        }
    )


def message_events(body: dict[str, Any], behaviour: Behaviour) -> Iterator[bytes]:
    usage = usage_of(behaviour)
    call = tool_use(body)
    message: dict[str, Any] = {
        "id": "msg_upstream",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield event({"type": "message_start", "message": message}, "message_start")
    block = {**call, "input": {}} if call else {"type": "text", "text": ""}
    yield event({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start")
    parts = words('{"city": "Zürich"}' if call else behaviour.text, behaviour.chunks)
    for count, part in enumerate(parts):
        if count == behaviour.error_after:
            failure = {"type": "overloaded_error", "message": "Overloaded"}
            yield event({"type": "error", "error": failure}, "error")
            return
        delta = {"type": "input_json_delta", "partial_json": part} if call else {"type": "text_delta", "text": part}
        yield event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
    yield event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    ending = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    yield event(
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": usage["output_tokens"]}}, "message_delta"
    )
    yield event({"type": "message_stop"}, "message_stop")


def error(status: int) -> Answer:
    names = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    names |= {429: "rate_limit_error", 529: "overloaded_error"}
    failure = {"type": names.get(status, "api_error"), "message": f"the upstream answers {status}"}
    return Answer.json({"type": "error", "error": failure})
