"""The ledger on real processes: what was answered is in it, once, whatever is killed or stands still meanwhile."""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp
import httpx
import psutil
import psycopg
import pytest

from analytics import segments
from gateway_project import embedded
from tests.gateway.account import Account
from tests.gateway.process import Process, web_process
from tests.platform.conftest import Start
from tests.platform.gateway import Gateway, wait_until
from tests.upstream import Upstream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHAT = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
USAGE = {"prompt_tokens": 1001, "completion_tokens": 77, "prompt_tokens_details": {"cached_tokens": 500}}
# USD: 501 fresh tokens, 500 from the provider's cache, 77 written.
COST = 501 * Decimal("0.00000015") + 500 * Decimal("0.000000075") + 77 * Decimal("0.0000006")
CLIENTS = 8
# The figures of a release are taken with 20 kills and 60 seconds.
KILLS = int(os.environ.get("LEDGER_KILLS", "6"))
STOPPED_SECONDS = float(os.environ.get("LEDGER_STOPPED_SECONDS", "6"))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@dataclass
class Load:
    """Clients that ask without a pause, by turns for a stream, and what came of it."""

    gateway: Gateway
    key: str
    answered: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = self.gateway.url

    async def has_answered(self, count: int) -> None:
        """Returns once so many have their answers."""
        while len(self.answered) < count:  # noqa: ASYNC110  (told by many clients, asked for by a test)
            await asyncio.sleep(0.005)

    async def ask(self, http: aiohttp.ClientSession, number: int) -> None:
        stream = number % 2 == 0
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
        try:
            async with http.post(f"{self.url}{CHAT}", json=body) as answer:
                text = await answer.read()
                whole = text.endswith(b"data: [DONE]\n\n") if stream else bool(json.loads(text)["choices"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.02)
            return
        if answer.status == 200 and whole:
            self.answered.append(answer.headers["x-request-id"])
        else:
            self.problems.append(f"{answer.status}: {text[-200:]!r}")

    async def client(self, http: aiohttp.ClientSession) -> None:
        number = 0
        while True:
            number += 1
            await self.ask(http, number)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """They ask while the block runs; what is under way at its end comes to its end."""
        headers = {"authorization": f"Bearer {self.key}"}
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            clients = [asyncio.create_task(self.client(http)) for _ in range(CLIENTS)]
            yield
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    def during(self, happening: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            async with self.running():
                await happening()

        asyncio.run(run())


@pytest.fixture
def load(start: Start, upstream: Upstream) -> Load:
    gateway = start(RATE_LIMIT_REQUESTS="0").ready()
    account = Account(gateway.url)
    upstream.serve([MODEL], scene="main")
    upstream.behave(MODEL, {"usage_object": USAGE, "interval": 0.01}, scene="main")
    account.add_provider(
        kind="openai", name="main", api_key="sk-test", models=[MODEL], base_url=f"{upstream.base_url('main')}/v1"
    )
    made = Load(gateway, account.create_key()["key"])
    wait_until(lambda: asyncio.run(served(made)), 10, "the provider's model")
    made.answered.clear()
    return made


async def served(load: Load) -> bool:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {load.key}"}) as http:
        await load.ask(http, 1)
    return bool(load.answered)


def database(gateway: Gateway) -> "psycopg.Connection[Any]":
    return psycopg.connect(embedded.dsn(gateway.data_dir), autocommit=True)


def wait_for_spool(gateway: Gateway) -> None:
    """Returns once Postgres has all that was spooled."""

    def moved() -> bool:
        return segments.size(gateway.data_dir / "spool") == 0

    wait_until(moved, 30, "the spool's end")


def assert_exact(load: Load) -> None:
    """Every answered request is one record, of what the provider said, and the sums by day say the same."""
    wait_for_spool(load.gateway)
    with database(load.gateway) as connection:
        rows = connection.execute(
            "SELECT id::text, status, prompt_tokens, cached_tokens, completion_tokens, cost_usd, usage_estimated "
            "FROM analytics_usagerecord"
        ).fetchall()
        rolled = connection.execute("SELECT sum(requests), sum(cost_usd) FROM analytics_dailyusage").fetchone()
    ids = [row[0] for row in rows]
    assert len(set(load.answered)) == len(load.answered)
    assert set(load.answered) - set(ids) == set(), "answered, and missing from the ledger"
    assert len(ids) == len(set(ids)), "twice in the ledger"
    wrong = [row for row in rows if row[0] in set(load.answered) and row[1:] != (200, 1001, 500, 77, COST, False)]
    assert wrong == []
    assert rolled == (len(rows), sum(row[5] for row in rows))
    assert not (load.gateway.data_dir / "spool" / "refused.txt").exists()


def test_kills_of_the_web_process_lose_and_double_nothing(load: Load) -> None:
    """Each at another moment: of a request, of a batch, of what is written. The gateway's own web process lives on."""
    moments = random.Random(5)
    started: list[Process] = []

    def begin() -> Process:
        started.append(web_process(load.gateway.data_dir, RATE_LIMIT_REQUESTS="0"))
        started[-1].wait_until_ready()
        return started[-1]

    async def kill_again_and_again() -> None:
        following = asyncio.create_task(asyncio.to_thread(begin))
        for kill in range(KILLS):
            web = await following
            load.url = web.url
            if kill < KILLS - 1:
                following = asyncio.create_task(asyncio.to_thread(begin))
            before, moment = len(load.answered), moments.randint(1, 150)
            async with asyncio.timeout(30):
                await load.has_answered(before + moment)
            web.process.kill()
            web.process.wait()

    try:
        load.during(kill_again_and_again)
    finally:
        for web in started:
            web.stop()
    assert len(load.answered) > 20 * KILLS
    assert load.problems, "nobody felt the kills"
    assert_exact(load)


def postgres(gateway: Gateway) -> list[psutil.Process]:
    postmaster = gateway.postmaster()
    return [postmaster, *postmaster.children(recursive=True)]


@contextlib.contextmanager
def standing_still(gateway: Gateway) -> Iterator[None]:
    """Its Postgres is stopped, as on a machine that hangs: nobody is told."""
    postmaster = gateway.postmaster()
    # First who would fork another backend meanwhile, which would go on.
    postmaster.send_signal(signal.SIGSTOP)
    processes = postgres(gateway)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def test_while_postgres_stands_still_all_is_answered_and_entered_after(load: Load) -> None:
    async def stand_still() -> None:
        await asyncio.sleep(1)
        with standing_still(load.gateway):
            await asyncio.sleep(STOPPED_SECONDS)
        await asyncio.sleep(1)

    load.problems.clear()
    load.during(stand_still)
    assert load.problems == []
    assert len(load.answered) > 400
    assert_exact(load)


def test_while_postgres_is_dead_all_is_answered_and_entered_after(load: Load) -> None:
    async def die_twice() -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            for process in postgres(load.gateway):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            await asyncio.sleep(4)

    load.problems.clear()
    load.during(die_twice)
    assert load.problems == []
    wait_until(lambda: load.gateway.get("/health").status_code == 200, 30, "a database")
    assert_exact(load)


def test_when_too_many_records_wait_requests_are_refused_before_they_spend(start: Start) -> None:
    limit = 1024**2
    gateway = start(RATE_LIMIT_REQUESTS="0", SPOOL_MAX_BYTES=str(limit)).ready()
    account = Account(gateway.url)
    account.add_provider(kind="demo", name="demo")
    key = account.create_key()["key"]
    large = {f"note-{number}": "y" * 500 for number in range(10)}

    def ask(http: httpx.Client) -> httpx.Response:
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "metadata": large}
        return http.post(CHAT, json=body)

    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {key}"}, trust_env=False) as http:
        wait_until(lambda: ask(http).status_code == 200, 10, "an answer")
        answered = 0
        with standing_still(gateway):
            while (answer := ask(http)).status_code == 200:
                answered += 1
            for refused in (answer, ask(http)):
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
                assert refused.headers["retry-after"] == "5"
            # One process writes, and counts what it writes: it stops with the record that is too much.
            assert limit < segments.size(gateway.data_dir / "spool") < 1.1 * limit
        assert answered > 100
        wait_until(lambda: ask(http).status_code == 200, 30, "an answer again")
    wait_for_spool(gateway)
    with database(gateway) as connection:
        (entered,) = connection.execute("SELECT count(*) FROM analytics_usagerecord").fetchone() or (0,)
    assert entered >= answered + 2
