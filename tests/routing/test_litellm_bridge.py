"""Anthropic, Gemini and Azure, each against an upstream that speaks its wire."""

import asyncio
import base64
import contextlib
import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from analytics.pricing import cost, price_for
from analytics.usage import Usage, usage_from
from gateway_project.lib import bounded_json
from keys.kinds import KINDS, api_base
from keys.vault import Secret
from routing.http1 import close_pools
from routing.providers.base import DEFAULT_TIMEOUTS, Failure, Target, Timeouts, UpstreamError
from routing.providers.litellm_bridge import LiteLLMBridge
from tests.upstream import Upstream

KEY = "sk-very-secret-0123456789"
SECRET = Secret(KEY)
MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro", "azure": "gpt-4o-mini"}
HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
scenes = itertools.count()

every_kind = pytest.mark.parametrize("kind", list(MODELS))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(autouse=True)
async def _closed_session() -> AsyncIterator[None]:
    yield
    await close_pools()


class Provider:
    """One provider of a kind at the upstream, in a scene of its own."""

    def __init__(self, upstream: Upstream, kind: str) -> None:
        self.upstream, self.kind, self.model = upstream, kind, MODELS[kind]
        self.scene = f"litellm-{next(scenes)}"
        self.target = self.at(upstream.base_url(self.scene))

    def at(self, url: str, secret: Secret | None = SECRET) -> Target:
        kind = KINDS[self.kind]
        return Target("id", "name", kind, api_base(kind, url), self.model, False, secret)

    def behave(self, **behaviour: Any) -> None:
        self.upstream.behave(self.model, behaviour, scene=self.scene)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self.upstream.requests(scene=self.scene)

    async def ask(self, timeouts: Timeouts = DEFAULT_TIMEOUTS, **body: Any) -> dict[str, Any]:
        reply = await LiteLLMBridge().send(
            self.target, "/chat/completions", {"messages": HELLO, **body}, stream=False, timeouts=timeouts
        )
        assert reply.blocks is None
        found: dict[str, Any] = orjson.loads(reply.body or b"")
        return found

    async def stream(self, timeouts: Timeouts = DEFAULT_TIMEOUTS, **body: Any) -> list[bytes]:
        reply = await LiteLLMBridge().send(
            self.target, "/chat/completions", {"messages": HELLO, **body}, stream=True, timeouts=timeouts
        )
        assert reply.blocks is not None
        return [block async for block in reply.blocks]


@pytest.fixture
def provider(upstream: Upstream, kind: str) -> Provider:
    return Provider(upstream, kind)


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
async def test_an_image_travels_as_a_data_url(provider: Provider) -> None:
    encoded = base64.b64encode(PNG).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
    ]
    await provider.ask(messages=[{"role": "user", "content": parts}])
    assert encoded in str(provider.requests[0]["body"])


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_an_images_address_is_fetched_where_the_provider_would_not(provider: Provider) -> None:
    provider.upstream.behave(
        "/cat.png", {"body_base64": base64.b64encode(PNG).decode(), "content_type": "image/png"}, scene=provider.scene
    )
    url = provider.upstream.base_url(provider.scene) + "/cat.png"
    await provider.ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert base64.b64encode(PNG).decode() in str(provider.requests[-1]["body"])


@pytest.mark.parametrize("kind", ["gemini"])
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",  # private, and not on the operator's list
        "http://10.0.0.1/cat.png",
        "https://[fd00::1]/cat.png",
        "http://no-such-host.invalid/cat.png",
        "file:///etc/passwd",
        "gs://bucket/cat.png",
        "http://",
    ],
)
async def test_an_image_that_cannot_be_had_is_the_clients_error(provider: Provider, url: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await provider.ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert (caught.value.failure, caught.value.status) == (Failure.STATUS, 400)
    assert provider.requests == []


@every_kind
@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "URL"}},
        {"type": "document", "source": {"type": "url", "url": "URL"}},
        {"type": "image", "source": {"type": "url", "url": "URL"}},
        {"type": "video_url", "video_url": {"url": "URL"}},
        {"type": "input_audio", "input_audio": {"data": "URL", "format": "wav"}},
    ],
    ids=lambda part: part["type"],
)
async def test_no_other_address_in_a_message_is_fetched(provider: Provider, part: dict[str, Any]) -> None:
    url = provider.upstream.base_url(provider.scene) + "/fetched"
    content = orjson.loads(orjson.dumps([part]).replace(b"URL", url.encode()))
    with contextlib.suppress(UpstreamError):
        await provider.ask(messages=[{"role": "user", "content": content}])
    assert [request["path"] for request in provider.requests if request["path"] == "/fetched"] == []


@every_kind
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_upstreams_error_keeps_its_status_and_message(provider: Provider, status: int, stream: bool) -> None:
    provider.behave(status=status, headers={"retry-after": "7"})
    with pytest.raises(UpstreamError) as caught:
        await (provider.stream() if stream else provider.ask())
    error = caught.value
    assert (error.failure, error.status, error.retry_after) == (Failure.STATUS, status, 7.0)
    assert f"the upstream answers {status}" in error.message
    assert len(provider.requests) == 1, "litellm tried again by itself"


@every_kind
async def test_the_key_is_in_no_message(provider: Provider, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    provider.behave(status=401, body=orjson.dumps({"error": {"message": f"wrong key: {KEY}", "type": "x"}}).decode())
    with caplog.at_level(logging.DEBUG), pytest.raises(UpstreamError) as caught:
        await provider.ask(messages=[{"role": "user", "content": "the prompt's own words"}])
    out, err = capfd.readouterr()
    assert "wrong key: ***" in caught.value.message
    assert KEY not in repr(caught.value) + str(caught.value)
    assert KEY.encode() not in caught.value.body
    for said in (caplog.text, out, err):
        assert KEY not in said
        assert "the prompt's own words" not in said
        assert "litellm" not in said.lower()


@every_kind
async def test_an_answer_that_is_none_is_junk(provider: Provider) -> None:
    for body in ("<html>Bad gateway</html>", "", "[]", '{"unexpected": true}'):
        provider.behave(body=body, content_type="text/html")
        with pytest.raises(UpstreamError) as caught:
            await provider.ask()
        assert caught.value.failure is Failure.JUNK, body
        assert len(caught.value.message) < 600


@every_kind
async def test_a_connection_that_breaks_is_not_tried_again_here(provider: Provider) -> None:
    provider.behave(drop="before_headers")
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.failure is Failure.DROPPED
    assert len(provider.requests) == 1


@every_kind
async def test_a_stream_that_breaks_says_so_after_what_came(provider: Provider) -> None:
    provider.behave(chunks=20, drop="after_chunks", drop_after=5)
    reply = await LiteLLMBridge().send(
        provider.target, "/chat/completions", {"messages": HELLO}, stream=True, timeouts=DEFAULT_TIMEOUTS
    )
    assert reply.blocks is not None
    seen = []
    with pytest.raises(UpstreamError) as caught:  # noqa: PT012
        async for block in reply.blocks:
            seen.append(block)
    assert caught.value.failure is Failure.DROPPED
    assert seen
    assert b"[DONE]" not in b"".join(seen)


@pytest.mark.parametrize("kind", ["anthropic"])
async def test_an_error_within_a_stream_ends_it(provider: Provider) -> None:
    provider.behave(chunks=5, error_after=2)
    with pytest.raises(UpstreamError) as caught:
        await provider.stream()
    assert "Overloaded" in caught.value.message


@every_kind
async def test_a_refused_connection_is_told_in_plain_words(provider: Provider) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider.target = provider.at(f"http://127.0.0.1:{port}")
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.failure is Failure.CONNECT


@every_kind
async def test_a_private_address_is_not_connected_to(provider: Provider) -> None:
    provider.target = provider.at("http://169.254.169.254")
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.failure is Failure.CONNECT
    assert "private address" in caught.value.message


@every_kind
async def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.behave(status=307, headers={"location": provider.upstream.base_url("elsewhere")})
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.failure is Failure.JUNK
    assert provider.upstream.requests(scene="elsewhere") == []


@every_kind
@pytest.mark.parametrize(
    ("behaviour", "timeouts"),
    [
        ({"delay": 5}, replace(DEFAULT_TIMEOUTS, first_byte=0.3)),
        ({"first_byte_delay": 5}, replace(DEFAULT_TIMEOUTS, idle=0.3)),
        ({"chunks": 100, "interval": 0.1}, replace(DEFAULT_TIMEOUTS, total=0.5)),
    ],
)
async def test_an_upstream_that_is_too_slow_is_given_up(
    provider: Provider, behaviour: dict[str, Any], timeouts: Timeouts
) -> None:
    await provider.ask()  # imports litellm, if this is the first test
    provider.behave(**behaviour)
    started = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        await provider.stream(timeouts)
    assert caught.value.failure is Failure.TIMEOUT
    assert time.monotonic() - started < 4


@every_kind
async def test_a_client_that_leaves_stops_the_upstream(provider: Provider) -> None:
    provider.behave(chunks=500, interval=0.05)
    reply = await LiteLLMBridge().send(
        provider.target, "/chat/completions", {"messages": HELLO}, stream=True, timeouts=DEFAULT_TIMEOUTS
    )
    assert reply.blocks is not None
    await anext(reply.blocks)
    reply.close()
    found = await asyncio.to_thread(
        provider.upstream.wait_until_left, within=1, scene=provider.scene, model=provider.model
    )
    assert found["chunks_sent"] < 30


@every_kind
async def test_a_client_that_leaves_before_the_answer_stops_the_upstream(provider: Provider) -> None:
    await provider.ask()
    provider.behave(delay=30)
    asking = asyncio.ensure_future(provider.ask())
    await asyncio.sleep(0.5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.to_thread(provider.upstream.wait_until_left, within=1, scene=provider.scene, model=provider.model)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("anthropic", "seed", 7),
        ("anthropic", "logprobs", True),
        ("anthropic", "n", 2),
        ("anthropic", "no_such_field", 1),
        ("gemini", "logit_bias", {"50256": -100}),
        ("azure", "top_k", 5),
        # litellm's own arguments: never from a client.
        ("anthropic", "api_base", "http://evil.example"),
        ("anthropic", "base_url", "http://evil.example"),
        ("anthropic", "api_key", "sk-other"),
        ("anthropic", "mock_response", "hello"),
        ("anthropic", "extra_headers", {"x-api-key": "sk-other"}),
        ("anthropic", "extra_body", {"a": 1}),
        ("anthropic", "custom_llm_provider", "openai"),
        ("anthropic", "fallbacks", ["gpt-5"]),
        ("anthropic", "num_retries", 5),
        ("gemini", "vertex_project", "p"),
        ("azure", "api_version", "1"),
        ("azure", "azure_ad_token", "t"),
    ],
)
async def test_a_field_that_cannot_be_passed_on_is_refused_by_name(provider: Provider, field: str, value: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        await provider.ask(**{field: value})
    assert (caught.value.failure, caught.value.status) == (Failure.STATUS, 400)
    assert orjson.loads(caught.value.body)["error"]["param"] == field
    assert provider.requests == []


@pytest.mark.parametrize("kind", ["anthropic"])
async def test_a_field_that_asks_for_what_happens_anyway_does_no_harm(provider: Provider) -> None:
    answer = await provider.ask(n=1, logprobs=False, seed=None, presence_penalty=0, logit_bias={})
    assert answer["choices"]


@pytest.mark.parametrize("kind", ["anthropic"])
async def test_a_providers_own_field_is_passed_on(provider: Provider) -> None:
    await provider.ask(top_k=5)
    assert provider.requests[0]["body"]["top_k"] == 5


@pytest.mark.parametrize("kind", ["anthropic"])
@pytest.mark.parametrize("messages", [[{"role": "no-such-role", "content": "x"}], ["text"], [{"content": 5}], [None]])
async def test_messages_that_are_none_are_the_clients_error(provider: Provider, messages: list[Any]) -> None:
    try:
        await provider.ask(messages=messages)
    except UpstreamError as error:
        assert (error.failure, error.status) == (Failure.STATUS, 400), error.message  # noqa: PT017
    else:
        assert provider.requests, "neither answered nor refused"


@every_kind
async def test_another_endpoint_is_not_there(provider: Provider) -> None:
    with pytest.raises(UpstreamError) as caught:
        await LiteLLMBridge().send(provider.target, "/completions", {}, stream=False, timeouts=DEFAULT_TIMEOUTS)
    assert caught.value.failure is Failure.UNSUPPORTED


@every_kind
async def test_without_a_key_nothing_is_sent(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-operator")
    provider.target = provider.at(provider.upstream.base_url(provider.scene), None)
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.status == 401
    assert provider.requests == []


@pytest.mark.parametrize("kind", ["anthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_anthropics_cached_tokens_are_priced_as_anthropic_does(provider: Provider, stream: bool) -> None:
    provider.behave(
        usage_object={
            "input_tokens": 100,
            "cache_read_input_tokens": 2000,
            "cache_creation_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
            "output_tokens": 50,
        }
    )
    body = await provider.ask() if not stream else orjson.loads((await provider.stream())[-2].removeprefix(b"data: "))
    usage = usage_from(body, "anthropic")
    assert usage == Usage(3100, 2000, 1000, 50, cache_write_1h=400)
    # 100 at $3, 2,000 read at $0.30, 600 written at $3.75 and 400 at $6, 50 out at $15, per million.
    assert str(cost(price_for("anthropic", provider.model, False), usage)) == "0.006300000000"


@pytest.mark.parametrize("kind", ["gemini"])
@pytest.mark.parametrize("stream", [False, True])
async def test_geminis_cached_and_thinking_tokens_are_priced_once(provider: Provider, stream: bool) -> None:
    provider.behave(
        usage_object={
            "promptTokenCount": 5000,
            "cachedContentTokenCount": 4000,
            "candidatesTokenCount": 100,
            "thoughtsTokenCount": 300,
            "totalTokenCount": 5400,
        }
    )
    body = await provider.ask() if not stream else orjson.loads((await provider.stream())[-2].removeprefix(b"data: "))
    usage = usage_from(body, "gemini")
    assert usage == Usage(5000, 4000, 0, 400, 300)
    # 1,000 at $1.25, 4,000 cached at $0.125, 400 out at $10, per million.
    assert str(cost(price_for("gemini", provider.model, False), usage)) == "0.005750000000"


@every_kind
@pytest.mark.parametrize(
    "model", ["../../files", "x?y=", "x#", "a/../b", "./m", "x:streamGenerateContent", "x%2fy", "x y"]
)
async def test_a_models_name_leads_to_no_other_path(provider: Provider, model: str) -> None:
    """It would be asked with the provider's key, and under a name that has no price."""
    provider.target = replace(provider.target, model=model)
    with pytest.raises(UpstreamError, match="cannot be a model") as raised:
        await provider.ask()
    assert raised.value.status == 400
    assert provider.requests == []


async def test_an_answer_of_millions_of_values_is_not_translated(upstream: Upstream) -> None:
    provider = Provider(upstream, "anthropic")
    provider.behave(body='{"content":[' + "{}," * (bounded_json.MAX_VALUES + 1) + "{}]}")
    with pytest.raises(UpstreamError, match="more than 1000000 values"):
        await provider.ask()
