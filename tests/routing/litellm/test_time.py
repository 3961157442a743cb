"""A provider that is too slow is given up, and one whose client left is stopped."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from routing.providers.base import DEFAULT_TIMEOUTS, Failure, Timeouts, UpstreamError
from routing.providers.litellm_bridge import LiteLLMBridge
from tests.routing.litellm.provider import HELLO, Provider, every_kind


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
