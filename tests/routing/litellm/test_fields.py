"""Which fields of a request reach the provider, and which are refused by name."""

from typing import Any

import orjson
import pytest

from routing.providers.base import Failure, UpstreamError
from tests.routing.litellm.provider import Provider


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
