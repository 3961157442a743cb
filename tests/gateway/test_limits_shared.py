"""Four web processes and a Redis: a limit is the limit of the whole installation, also while Redis is away."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process, web_process
from tests.gateway.scene import CHAT, MESSAGES
from tests.redis_server import RedisServer

BODY = {"model": "auto", "messages": MESSAGES}


@pytest.fixture(scope="module")
def four(pair: tuple[Process, Process], redis: RedisServer) -> Iterator[list[Process]]:
    """The pair, and two more web processes on the same data."""
    more = [web_process(pair[0].data_dir, REDIS_URL=redis.url) for _ in range(2)]
    try:
        for process in more:
            process.wait_until_ready()
        yield [*pair, *more]
    finally:
        for process in more:
            process.stop()


@pytest.fixture(scope="module")
def account(four: list[Process]) -> Account:
    account = Account(four[0].url)
    account.add_provider(kind="demo", name="demo")
    return account


def limited_key(account: Account, four: list[Process], **limits: Any) -> str:
    """A key with these limits that every process knows."""
    key: str = account.create_key(**limits)["key"]
    end = time.monotonic() + 5
    for process in four:
        while health_of(process, key) != 200:
            assert time.monotonic() < end
            time.sleep(0.02)
    return key


def health_of(process: Process, key: str) -> int:
    models = httpx.get(f"{process.url}/v1/models", headers={"authorization": f"Bearer {key}"}, trust_env=False)
    return models.status_code if models.json().get("data") else 0


def degraded(process: Process) -> bool:
    checks = httpx.get(f"{process.url}/health", trust_env=False, timeout=20).json()
    return bool(checks["status"] == "degraded" and "share of the limits" in checks["checks"]["cache"])


class Load:
    """Asks every process in turn, as one key; `served` is when each answer of 200 came."""

    def __init__(self, four: list[Process], key: str) -> None:
        self.four = four
        self.http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=20,
            limits=httpx.Limits(max_connections=400),
        )  # fmt: skip
        self.statuses: Counter[int] = Counter()
        self.served: list[float] = []
        self.answers: list[httpx.Response] = []

    async def ask(self, number: int) -> None:
        answer = await self.http.post(f"{self.four[number % len(self.four)].url}{CHAT}", json=BODY)
        self.statuses[answer.status_code] += 1
        self.answers.append(answer)
        if answer.status_code == 200:
            self.served.append(time.monotonic())

    async def keep_asking(self, pause: float, seconds: float) -> None:
        end, number = time.monotonic() + seconds, 0
        running: set[asyncio.Task[None]] = set()
        while time.monotonic() < end:
            running.add(asyncio.create_task(self.ask(number)))
            number += 1
            await asyncio.sleep(pause)
        await asyncio.gather(*running)


def most_within(moments: list[float], window: float) -> int:
    return max(sum(start <= at <= start + window for at in moments) for start in moments)


async def test_four_hundred_at_once_to_four_processes_are_a_hundred(four: list[Process], account: Account) -> None:
    load = Load(four, limited_key(account, four, rate_limit_requests=100, rate_limit_window=60))
    await asyncio.gather(*(load.ask(number) for number in range(400)))
    assert load.statuses == {200: 100, 429: 300}
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in load.answers} == {"100"}
    remaining = sorted(int(answer.headers["x-ratelimit-remaining-requests"]) for answer in load.answers)
    assert remaining == [0] * 301 + list(range(1, 100))


async def test_a_stream_in_one_process_takes_the_slot_in_all(four: list[Process], account: Account) -> None:
    key = limited_key(account, four, rate_limit_streams=2)
    load = Load(four, key)
    body = BODY | {"stream": True}
    async with (
        load.http.stream("POST", f"{four[0].url}{CHAT}", json=body) as first,
        load.http.stream("POST", f"{four[1].url}{CHAT}", json=body) as second,
    ):
        statuses = [first.status_code, second.status_code]
        await first.aread()
        await second.aread()
    assert statuses == [200, 200]
    end = time.monotonic() + 2
    while (await load.http.post(f"{four[2].url}{CHAT}", json=body)).status_code != 200:
        assert time.monotonic() < end, "the slots are free again"


@pytest.mark.timeout(180)
async def test_redis_goes_for_a_while_under_load_and_comes_back(
    four: list[Process], account: Account, redis: RedisServer
) -> None:
    window, limit = 4, 80
    load = Load(four, limited_key(account, four, rate_limit_requests=limit, rate_limit_window=window))
    unlimited = Load(four, limited_key(account, four, rate_limit_requests=1_000_000))
    asking = [asyncio.create_task(one.keep_asking(0.02, 27)) for one in (load, unlimited)]
    await asyncio.sleep(6)
    await asyncio.to_thread(redis.stop)
    lost = time.monotonic()
    await asyncio.sleep(10)
    assert await asyncio.to_thread(degraded, four[1])
    back = time.monotonic()
    await asyncio.to_thread(redis.start)
    await asyncio.gather(*asking)
    assert load.statuses.keys() <= {200, 429}, "no request failed"
    assert unlimited.statuses.keys() == {200}
    assert most_within(load.served, window) <= limit * 1.1
    meanwhile = sum(lost <= at < back for at in load.served)
    # What was served before counts in the first of these windows, too.
    assert meanwhile >= limit * 0.9 * ((back - lost) // window - 1)
    end = time.monotonic() + 10
    while any([await asyncio.to_thread(degraded, process) for process in four]):
        assert time.monotonic() < end, "all comes back by itself"
