"""Identical requests at the same moment: one call, an answer for everybody, and nobody waits for one who is gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest

from gateway_project import embedded
from tests.gateway.budgets import COST, TOKENS, price
from tests.gateway.process import Process
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


@pytest.mark.parametrize("stream", [False, True])
async def test_who_has_no_budget_for_it_is_refused_alone(scene: Scene, gateway: Process, *, stream: bool) -> None:
    """Those who wait for it ask on their own account, and still once for all."""
    price(scene)
    scene.behave({"chunks": 3, **SLOW})
    budgets = [COST / 2, COST / 2, COST, COST, COST]
    keys = [scene.account.create_key(budget_usd=str(budget)) for budget in budgets]
    await asyncio.sleep(0.5)  # until the gateway has heard of them
    async with client(scene) as http:
        # What they have spent cannot be read for a moment, so that nobody knows yet who may ask.
        with psycopg.connect(embedded.dsn(gateway.data_dir)) as connection:
            connection.execute("LOCK TABLE analytics_dailyusage IN ACCESS EXCLUSIVE MODE")
            asked = []
            for key in keys:
                headers = {"authorization": f"Bearer {key['key']}"}
                body = scene.body(temperature=0, max_tokens=TOKENS, stream=stream)
                asked.append(asyncio.create_task(http.post(CHAT, json=body, headers=headers)))
                await asyncio.sleep(0.05)
        responses = await asyncio.gather(*asked)
    assert [response.status_code for response in responses] == [402, 402, 200, 200, 200]
    assert [text_of(response) for response in responses[2:]] == [TEXT] * 3
    assert states(responses[2:]) == ["hit", "hit", "miss"]
    assert len(scene.received()) == 1


async def test_a_stream_that_breaks_off_does_so_for_all_who_listen_and_the_others_ask_again(scene: Scene) -> None:
    scene.behave({"chunks": 9, "interval": 0.1, "drop": "after_chunks", "drop_after": 8}, {})
    async with client(scene) as http:
        first = asyncio.create_task(ask(http, scene, stream=True))
        await asyncio.sleep(0.3)
        others = [ask(http, scene, stream=streams) for streams in (True, True, False, False, False)]
        responses = await asyncio.gather(first, *others)
    for response in responses[:3]:
        assert payloads_of(response.content)[-1]["error"]["code"] == "upstream_interrupted"
    assert [text_of(response) for response in responses[3:]] == [TEXT] * 3
    assert len(scene.received()) == 2
    records = [scene.record(response) for response in responses[:3]]
    assert [record["status"] for record in records] == [502] * 3
    assert sorted(record["cache"] for record in records) == ["hit", "hit", "miss"]


# --- Streams while they are made -----------------------------------------------------------------

LIVE = {"chunks": 20, "interval": 0.1, "text": "ab" * 20}


async def test_who_comes_later_hears_all_from_the_beginning_while_it_goes_on(scene: Scene) -> None:
    scene.behave(LIVE)
    async with client(scene) as http:
        first = asyncio.create_task(ask(http, scene, stream=True))
        await asyncio.sleep(0.6)
        started = time.monotonic()
        async with http.stream("POST", CHAT, json=scene.body(temperature=0, stream=True)) as late:
            content = b""
            async for part in late.aiter_bytes():
                if not content:
                    assert time.monotonic() - started < 0.7
                    assert not first.done()
                content += part
        assert content == (await first).content
        assert late.headers["x-gateway-cache"] == "hit"
    assert len(scene.received()) == 1
    record = scene.record(late)
    assert (record["cache"], record["stream"], record["status"]) == ("hit", True, 200)
    assert record["completion_tokens"] == scene.record(await first)["completion_tokens"] > 0


async def test_usage_is_for_who_asked_for_it(scene: Scene) -> None:
    scene.behave(LIVE)
    usage = {"stream_options": {"include_usage": True}}
    async with client(scene) as http:
        asked = [ask(http, scene, stream=True, **(usage if number % 2 else {})) for number in range(4)]
        responses = await asyncio.gather(*asked)
    for number, response in enumerate(responses):
        assert (payloads_of(response.content)[-2].get("usage") is not None) is bool(number % 2)
    assert len(scene.received()) == 1


@pytest.mark.parametrize("streams", [True, False])
async def test_when_the_one_who_asked_leaves_a_stream_it_goes_on_for_the_others(scene: Scene, *, streams: bool) -> None:
    scene.behave(LIVE)
    async with client(scene) as http, client(scene) as leaver:
        first = asyncio.create_task(ask(leaver, scene, stream=True))
        await asyncio.sleep(0.4)
        others = [asyncio.create_task(ask(http, scene, stream=streams)) for _ in range(3)]
        await asyncio.sleep(0.5)
        first.cancel()
        responses = await asyncio.wait_for(asyncio.gather(*others), 10)
    assert [text_of(response) for response in responses] == ["ab" * 20] * 3
    assert states(responses) == ["hit"] * 3
    assert len(scene.received()) == 1


async def test_a_slow_client_holds_up_nobody(scene: Scene) -> None:
    scene.behave({"chunks": 400, "interval": 0.001, "text": "word " * 40_000})
    asked = scene.body(temperature=0, stream=True)
    async with client(scene) as http, client(scene) as slow, slow.stream("POST", CHAT, json=asked) as first:
        others = [ask(http, scene, stream=streams) for streams in (True, False)]
        responses = await asyncio.wait_for(asyncio.gather(*others), 10)
        assert {text_of(response) for response in responses} == {"word " * 40_000}
        assert (await first.aread()).endswith(b"data: [DONE]\n\n")
    assert len(scene.received()) == 1


async def test_when_all_have_left_the_upstream_is_stopped(scene: Scene) -> None:
    scene.behave({**LIVE, "chunks": 100}, {})
    async with client(scene) as leaver:
        tasks = [asyncio.create_task(ask(leaver, scene, stream=True)) for _ in range(3)]
        await asyncio.sleep(0.6)
        for task in tasks:
            task.cancel()
            await asyncio.sleep(0.2)
        left = time.time()
    attempt = await asyncio.to_thread(scene.upstream.wait_until_left, within=3, scene=scene.name, model=scene.model)
    assert attempt["peer_left_at"] - left < 1
    async with client(scene) as http:
        assert text_of(await ask(http, scene)) == TEXT
