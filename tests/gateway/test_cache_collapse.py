"""Identical requests at the same moment: one call, an answer for everybody, and nobody waits for one who is gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.scene import CHAT, Scene, payloads_of

MANY = 50
TEXT = "word 0 word 1 word 2 "
SLOW = {"delay": 0.5}


@asynccontextmanager
async def client(scene: Scene) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(
        base_url=scene.url, timeout=20, trust_env=False, limits=limits, headers=dict(scene.http.headers)
    ) as http:
        yield http


async def ask(http: httpx.AsyncClient, scene: Scene, **fields: Any) -> httpx.Response:
    return await http.post(CHAT, json=scene.body(**{"temperature": 0, **fields}))


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("application/json"):
        said: str = response.json()["choices"][0]["message"]["content"]
        return said
    *chunks, done = payloads_of(response.content)
    assert done == "[DONE]"
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def states(responses: list[httpx.Response]) -> list[str]:
    return sorted(response.headers["x-gateway-cache"] for response in responses)


@pytest.mark.parametrize("streams", [(False,), (True,), (False, True)], ids=["whole", "streamed", "mixed"])
async def test_many_identical_requests_are_one_call(scene: Scene, streams: tuple[bool, ...]) -> None:
    scene.behave(SLOW)
    async with client(scene) as http:
        asked = [ask(http, scene, stream=streams[number % len(streams)]) for number in range(MANY)]
        responses = await asyncio.gather(*asked)

    assert [text_of(response) for response in responses] == [TEXT] * MANY
    assert len(scene.received()) == 1
    assert states(responses) == ["hit"] * (MANY - 1) + ["miss"]
    records = [scene.record(response) for response in responses[:3]]
    assert all(Decimal(record["cost_usd"]) == 0 for record in records if record["cache"] == "hit")


async def test_who_opts_out_asks_alone(scene: Scene) -> None:
    scene.behave(SLOW)
    async with client(scene) as http:
        together = [ask(http, scene) for _ in range(3)]
        alone = [ask(http, scene, cache="off") for _ in range(2)]
        responses = await asyncio.gather(*together, *alone)
    assert states(responses) == ["hit", "hit", "miss", "off", "off"]
    assert len(scene.received()) == 3


async def test_requests_that_do_not_use_the_cache_do_not_wait_for_each_other(scene: Scene) -> None:
    scene.behave(SLOW)
    async with client(scene) as http:
        responses = await asyncio.gather(*(ask(http, scene, temperature=1) for _ in range(3)))
    assert states(responses) == ["off"] * 3
    assert len(scene.received()) == 3


async def test_nobody_waits_for_an_answer_that_may_call_a_tool(scene: Scene) -> None:
    scene.behave(SLOW)
    tool = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}
    async with client(scene) as http:
        await asyncio.gather(*(ask(http, scene, tools=[tool]) for _ in range(3)))
        assert len(scene.received()) == 3
        responses = await asyncio.gather(*(ask(http, scene, tools=[tool], cache="on", seed=1) for _ in range(3)))
    assert states(responses) == ["hit", "hit", "miss"]
    assert len(scene.received()) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_one_who_asks_leaves_the_next_one_asks(scene: Scene, *, stream: bool) -> None:
    scene.behave({"delay": 1.0, "chunks": 3, "interval": 0.3})
    async with client(scene) as http, client(scene) as leaver:
        first = asyncio.create_task(ask(leaver, scene, stream=stream))
        await asyncio.sleep(0.4)
        others = [asyncio.create_task(ask(http, scene, stream=stream)) for _ in range(5)]
        await asyncio.sleep(0.3)
        first.cancel()
        responses = await asyncio.wait_for(asyncio.gather(*others), 10)

    assert [text_of(response) for response in responses] == [TEXT] * 5
    assert states(responses) == ["hit"] * 4 + ["miss"]
    assert len(scene.received()) == 2


async def test_when_one_who_waits_leaves_nothing_changes(scene: Scene) -> None:
    scene.behave(SLOW)
    async with client(scene) as http, client(scene) as leaver:
        first = asyncio.create_task(ask(http, scene))
        await asyncio.sleep(0.1)
        left = asyncio.create_task(ask(leaver, scene))
        stayed = asyncio.create_task(ask(http, scene))
        await asyncio.sleep(0.15)
        left.cancel()
        responses = await asyncio.gather(first, stayed)
    assert states(list(responses)) == ["hit", "miss"]
    assert len(scene.received()) == 1


async def test_when_the_one_who_asks_fails_another_one_asks_for_all(scene: Scene) -> None:
    scene.behave({"status": 400, **SLOW}, {})
    async with client(scene) as http:
        responses = await asyncio.gather(*(ask(http, scene) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200] * 4 + [400]
    assert len(scene.received()) == 2


async def test_when_all_fail_nobody_hangs_and_each_is_told(scene: Scene) -> None:
    scene.behave({"status": 400, "delay": 0.3})
    started = time.monotonic()
    async with client(scene) as http:
        responses = await asyncio.gather(*(ask(http, scene) for _ in range(10)))
    assert [response.status_code for response in responses] == [400] * 10
    assert time.monotonic() - started < 5


async def test_a_stream_that_breaks_off_is_taken_over(scene: Scene) -> None:
    scene.behave({"chunks": 5, "interval": 0.1, "drop": "after_chunks", "drop_after": 3}, {})
    async with client(scene) as http:
        responses = await asyncio.gather(*(ask(http, scene, stream=True) for _ in range(4)))
    broken = [response for response in responses if b'"error"' in response.content]
    assert len(broken) == 1
    assert {text_of(response) for response in responses if response not in broken} == {TEXT}
    assert len(scene.received()) == 2
