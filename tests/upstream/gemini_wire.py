"""Gemini's `POST …/models/<model>:generateContent` and `:streamGenerateContent?alt=sse`."""

from collections.abc import Iterator
from typing import Any

from tests.upstream.answer import Answer, event, words
from tests.upstream.behaviour import Behaviour


def usage_of(behaviour: Behaviour) -> dict[str, Any]:
    if behaviour.usage_object is not None:
        return behaviour.usage_object
    return {
        "promptTokenCount": 7,
        "candidatesTokenCount": behaviour.chunks,
        "totalTokenCount": 7 + behaviour.chunks,
    }


def function_call(body: dict[str, Any]) -> dict[str, Any] | None:
    for tool in body.get("tools") or []:
        for declaration in tool.get("functionDeclarations") or tool.get("function_declarations") or []:
            return {"functionCall": {"name": declaration["name"], "args": {"city": "Zürich"}}}
    return None


def candidate(part: dict[str, Any], finish: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
    return {**fields, "finishReason": finish} if finish else fields


def generate(model: str, body: dict[str, Any], behaviour: Behaviour) -> Answer:
    part = function_call(body) or {"text": behaviour.text or "".join(words("", behaviour.chunks))}
    return Answer.json(
        {"candidates": [candidate(part, "STOP")], "usageMetadata": usage_of(behaviour), "modelVersion": model}
    )


def generate_stream(model: str, body: dict[str, Any], behaviour: Behaviour) -> Answer:
    return Answer.stream(generate_events(model, body, behaviour))


def generate_events(model: str, body: dict[str, Any], behaviour: Behaviour) -> Iterator[bytes]:
    call = function_call(body)
    parts = [call] if call else [{"text": text} for text in words(behaviour.text, behaviour.chunks)]
    for count, part in enumerate(parts, 1):
        last = count == len(parts)
        yield event(
            {
                "candidates": [candidate(part, "STOP" if last else None)],
                "usageMetadata": usage_of(behaviour),
                "modelVersion": model,
            }
        )


def error(status: int) -> Answer:
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    names |= {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    failure = {"code": status, "message": f"the upstream answers {status}", "status": names.get(status, "INTERNAL")}
    return Answer.json({"error": failure})
