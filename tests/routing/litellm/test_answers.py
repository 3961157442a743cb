"""Chats, streams and tools in OpenAI's shape, whatever the provider's own is."""

import orjson
import pytest

from analytics.usage import Usage, usage_from
from keys.kinds import KINDS
from routing.providers.base import DEFAULT_TIMEOUTS, Failure, UpstreamError
from routing.providers.litellm_bridge import LiteLLMBridge
from tests.routing.litellm.provider import HELLO, KEY, TOOLS, Provider, every_kind


@every_kind
async def test_a_chat_is_answered_in_openais_shape(provider: Provider) -> None:
    answer = await provider.ask(max_tokens=50, temperature=0.5, stop=["END"])

    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "word 0 word 1 word 2 "
    assert choice["message"]["refusal"] is None
    assert choice["finish_reason"] == "stop"
    assert usage_from(answer, provider.kind) == Usage(7, 0, 0, 3)
    (request,) = provider.requests
    assert KEY in (request["headers"].get(KINDS[provider.kind].auth_header), request["headers"].get("authorization"))
    assert "50" in str(request["body"])


@every_kind
async def test_a_stream_is_openais_events_with_usage_and_done(provider: Provider) -> None:
    blocks = await provider.stream()

    assert blocks[-1] == b"data: [DONE]\n\n"
    chunks = [orjson.loads(block.removeprefix(b"data: ")) for block in blocks[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    said = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
    assert "".join(said) == "word 0 word 1 word 2 "
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert chunks[-1]["choices"] == []
    assert usage_from(chunks[-1], provider.kind) == Usage(7, 0, 0, 3)


@every_kind
async def test_tools_are_called(provider: Provider) -> None:
    answer = await provider.ask(tools=TOOLS, tool_choice="auto")

    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "weather"
    assert orjson.loads(call["function"]["arguments"]) == {"city": "Zürich"}


@every_kind
async def test_tools_are_called_in_a_stream(provider: Provider) -> None:
    blocks = await provider.stream(tools=TOOLS)

    deltas = [
        choice["delta"]
        for block in blocks[:-1]
        for choice in orjson.loads(block.removeprefix(b"data: "))["choices"]
        if choice["delta"].get("tool_calls")
    ]
    calls = [delta["tool_calls"][0] for delta in deltas]
    assert calls[0]["function"]["name"] == "weather"
    assert orjson.loads("".join(call["function"].get("arguments") or "" for call in calls)) == {"city": "Zürich"}


@every_kind
async def test_a_tools_result_goes_back(provider: Provider) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}
    turns = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 21 degrees"},
    ]
    await provider.ask(messages=turns, tools=TOOLS)
    assert "sunny, 21 degrees" in str(provider.requests[0]["body"])


@every_kind
async def test_another_endpoint_is_not_there(provider: Provider) -> None:
    with pytest.raises(UpstreamError) as caught:
        await LiteLLMBridge().send(provider.target, "/completions", {}, stream=False, timeouts=DEFAULT_TIMEOUTS)
    assert caught.value.failure is Failure.UNSUPPORTED
