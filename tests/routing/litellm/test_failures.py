"""Whatever goes wrong at the provider: told once, in plain words, without the key."""

import logging
import socket
from typing import Any

import orjson
import pytest

from gateway_project.lib import bounded_json
from routing.providers.base import DEFAULT_TIMEOUTS, Failure, UpstreamError
from routing.providers.litellm_bridge import LiteLLMBridge
from tests.routing.litellm.provider import HELLO, KEY, Provider, every_kind
from tests.upstream import Upstream


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
async def test_without_a_key_nothing_is_sent(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-operator")
    provider.target = provider.at(provider.upstream.base_url(provider.scene), None)
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.status == 401
    assert provider.requests == []


async def test_an_answer_of_millions_of_values_is_not_translated(upstream: Upstream) -> None:
    provider = Provider(upstream, "anthropic")
    provider.behave(body='{"content":[' + "{}," * (bounded_json.MAX_VALUES + 1) + "{}]}")
    with pytest.raises(UpstreamError, match="more than 1000000 values"):
        await provider.ask()
