"""Cached and reasoning tokens, counted and priced as the provider does."""

import orjson
import pytest

from analytics.pricing import cost, price_for
from analytics.usage import Usage, usage_from
from tests.routing.litellm.provider import Provider


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
