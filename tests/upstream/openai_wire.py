"""OpenAI's wire: models, chat, completions and embeddings, whole and streamed."""

from collections.abc import Iterator
from typing import Any

from tests.upstream.answer import Answer, event, words
from tests.upstream.behaviour import Behaviour

CREATED = 1_727_346_172
FINGERPRINT = "fp_upstream"


def models(ids: list[str]) -> Answer:
    return Answer.json(
        {
            "object": "list",
            "data": [{"id": id_, "object": "model", "created": CREATED, "owned_by": "upstream"} for id_ in ids],
        }
    )


def usage_of(behaviour: Behaviour, completion: int | None = None) -> dict[str, Any]:
    """The usage to tell: the behaviour's own, or 7 prompt tokens and one for each chunk."""
    if behaviour.usage_object is not None:
        return behaviour.usage_object
    completion = behaviour.chunks if completion is None else completion
    return {
        "prompt_tokens": 7,
        "completion_tokens": completion,
        "total_tokens": 7 + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def called_tool(body: dict[str, Any]) -> dict[str, Any] | None:
    """The call this model makes when it is offered tools: the first one, with a fixed argument."""
    tools = body.get("tools")
    if not tools:
        return None
    function = {"name": tools[0]["function"]["name"], "arguments": '{"city":"Zürich"}'}
    return {"id": "call_1", "type": "function", "function": function}


def logprobs_of(text: str) -> dict[str, Any]:
    token = {"token": text, "logprob": -0.0012, "bytes": list(text.encode()), "top_logprobs": []}
    return {"content": [token], "refusal": None}


def chat(body: dict[str, Any], behaviour: Behaviour) -> Answer:
    """`POST /v1/chat/completions`."""
    if body.get("stream"):
        return Answer.stream(chat_events(body, behaviour))
    text = behaviour.text or "".join(words("", behaviour.chunks))
    if (body.get("response_format") or {}).get("type") in ("json_object", "json_schema"):
        text = '{"answer":"Zürich"}'
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    finish = "stop"
    if call := called_tool(body):
        message |= {"content": None, "tool_calls": [call]}
        finish = "tool_calls"
    logprobs = logprobs_of(text) if body.get("logprobs") else None
    answer: dict[str, Any] = {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model"),
        "choices": [
            {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}
            for index in range(body.get("n") or 1)
        ],
        "system_fingerprint": FINGERPRINT,
    }
    if behaviour.usage != "never":
        answer["usage"] = usage_of(behaviour)
    return Answer.json(answer)


def chat_deltas(body: dict[str, Any], behaviour: Behaviour) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Each chunk's delta, and the text in it."""
    if call := called_tool(body):
        arguments = call["function"]["arguments"]
        start = {"index": 0, **call, "function": {**call["function"], "arguments": ""}}
        yield {"role": "assistant", "content": None, "tool_calls": [start]}, None
        for part in words(arguments, behaviour.chunks):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}, None
        return
    yield {"role": "assistant", "content": "", "refusal": None}, ""
    if behaviour.line_mb:
        text = "x" * int(behaviour.line_mb * 2**20)
        yield {"content": text}, text
    for text in words(behaviour.text, behaviour.chunks):
        yield {"content": text}, text


def chat_events(body: dict[str, Any], behaviour: Behaviour) -> Iterator[bytes]:
    """A chat stream as OpenAI sends it: `"usage":null` in each chunk when usage was asked for, the figures last."""
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    told = {"asked": asked, "always": True, "never": False, "every": True}[behaviour.usage]
    nulls = {"usage": None} if told and asked else {}
    head = {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body.get("model"),
        "system_fingerprint": FINGERPRINT,
    }

    def chunk(index: int, delta: dict[str, Any], finish: str | None, text: str | None, count: int) -> bytes:
        logprobs = logprobs_of(text) if body.get("logprobs") and text else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        running = {"usage": usage_of(behaviour, count)} if behaviour.usage == "every" else nulls
        return event({**head, "choices": [choice], **running})

    for count, (delta, text) in enumerate(chat_deltas(body, behaviour)):
        if count == behaviour.error_after:
            yield event({"error": {"message": "the model fell over", "type": "server_error", "code": None}})
            return
        for index in range(body.get("n") or 1):
            yield chunk(index, delta, None, text, count)
    for index in range(body.get("n") or 1):
        yield chunk(index, {}, "tool_calls" if body.get("tools") else "stop", None, behaviour.chunks)
    if told:
        yield event({**head, "choices": [], "usage": usage_of(behaviour)})
    if behaviour.done:
        yield b"data: [DONE]\n\n"


def completion(body: dict[str, Any], behaviour: Behaviour) -> Answer:
    """`POST /v1/completions`, the legacy endpoint."""
    head = {"id": "cmpl-upstream", "object": "text_completion", "created": CREATED, "model": body.get("model")}
    if body.get("stream"):
        return Answer.stream(completion_events(body, behaviour, head))
    text = behaviour.text or "".join(words("", behaviour.chunks))
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    usage = {} if behaviour.usage == "never" else {"usage": usage_of(behaviour)}
    return Answer.json({**head, "choices": [choice], **usage})


def completion_events(body: dict[str, Any], behaviour: Behaviour, head: dict[str, Any]) -> Iterator[bytes]:
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    for text in words(behaviour.text, behaviour.chunks):
        yield event({**head, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": None}]})
    yield event({**head, "choices": [{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}]})
    if behaviour.usage != "never" and (asked or behaviour.usage != "asked"):
        yield event({**head, "choices": [], "usage": usage_of(behaviour)})
    if behaviour.done:
        yield b"data: [DONE]\n\n"


def embeddings(body: dict[str, Any], behaviour: Behaviour) -> Answer:
    """`POST /v1/embeddings`: a fixed vector for each input."""
    inputs = body.get("input")
    # Numbers are the tokens of one text.
    count = len(inputs) if isinstance(inputs, list) and not isinstance(inputs[0], int) else 1
    return Answer.json(
        {
            "object": "list",
            "model": body.get("model"),
            "data": [{"object": "embedding", "index": index, "embedding": [0.6, 0.8]} for index in range(count)],
            "usage": {"prompt_tokens": 7 * count, "total_tokens": 7 * count},
        }
    )


def error(status: int) -> Answer:
    """OpenAI's error body for `status`."""
    message = f"the upstream answers {status}"
    return Answer.json({"error": {"message": message, "type": "upstream_error", "param": None, "code": f"e{status}"}})
