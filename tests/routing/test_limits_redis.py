"""Limits of several processes in one Redis: they hold for all of them together, by Redis' clock alone."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.lib import redis_link
from gateway_project.lib.redis_link import RedisLink
from keys.limits import Scope
from routing.limits import SharedLimits, shared
from routing.limits.log import FINE
from tests.redis_server import RedisServer, running_redis
from tests.routing.limiting import ask, exchange_of, scope
from tests.waiting import until

CLOCK = f"{redis_link.prefix}:limits:clock"
_numbers = itertools.count(1)


def fresh(kind: str = "key", **limits: object) -> Scope:
    """A scope that nothing was counted for."""
    return scope(kind, f"fresh-{next(_numbers)}", **limits)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as running:
        yield running


class Process:
    """What a web process has of this."""

    def __init__(self, url: str) -> None:
        self.link = RedisLink(url)
        self.limits = SharedLimits(self.link, None, workers=1, fail="local")

    async def now(self) -> int:
        """The scripts' time of their last call, in microseconds."""
        raw, ahead = await self.link.call("HMGET", CLOCK, "raw", "ahead")
        return int(raw) + int(ahead)

    async def pass_time(self, seconds: float) -> None:
        await self.link.call("HINCRBY", CLOCK, "ahead", round(seconds * 1_000_000))


@pytest.fixture
async def processes(server: RedisServer) -> AsyncIterator[list[Process]]:
    made = [Process(server.url) for _ in range(3)]
    for process in made:
        process.link.open()
    await until(lambda: all(process.link.connected for process in made))
    yield made
    for process in made:
        await process.link.close()


@pytest.fixture
def one(processes: list[Process]) -> Process:
    return processes[0]


async def test_four_hundred_at_once_are_a_hundred(processes: list[Process]) -> None:
    hundred = fresh(requests=100, window=60)
    asked = await asyncio.gather(*(ask(processes[n % 3].limits, hundred) for n in range(400)))
    assert sum(one.admitted for one in asked) == 100
    assert {one.shown[1] for one in asked if not one.admitted} == {0}
    assert {one.retry_after for one in asked if not one.admitted} == {60}


async def test_what_one_scope_refuses_is_counted_in_none(processes: list[Process]) -> None:
    key, workspace = fresh(requests=5), fresh("workspace", requests=2)
    asked = [await ask(processes[n % 3].limits, key, workspace) for n in range(9)]
    assert [one.admitted for one in asked] == [True] * 2 + [False] * 7
    assert asked[-1].error is not None
    assert "the workspace" in asked[-1].error.message
    assert [(await ask(processes[n % 3].limits, key)).admitted for n in range(4)] == [True] * 3 + [False]


async def test_waiting_as_long_as_told_is_enough_and_less_is_not(one: Process) -> None:
    two = fresh(requests=2, window=9)
    await ask(one.limits, two)
    await one.pass_time(3.25)
    await ask(one.limits, two)
    refused = await ask(one.limits, two)
    assert refused.retry_after == 6
    await one.pass_time(refused.retry_after - 1)
    assert not (await ask(one.limits, two)).admitted
    await one.pass_time(1)
    assert (await ask(one.limits, two)).admitted


async def test_the_headers_show_the_tightest_scope(one: Process) -> None:
    key, workspace = fresh(requests=10, window=10), fresh("workspace", requests=5, window=20)
    limit, remaining, reset = (await ask(one.limits, key, workspace)).shown
    assert (limit, remaining) == (5, 4)
    assert reset == 20
    caller = exchange_of(key, workspace).caller
    assert caller is not None
    for _ in range(9):
        standing = await one.limits.standing(caller)
    assert standing is not None
    assert standing.remaining == 4


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.sampled_from([0.0, 0.001, 0.5, 1.0, 2.5, 10.0]), st.integers(0, 1), st.integers(1, 30)),
        min_size=1,
        max_size=40,
    ),
    requests=st.integers(1, 6),
    tokens=st.integers(1, 60),
    window=st.integers(1, 6),
)
def test_no_span_of_a_window_has_more_than_the_limits(
    server: RedisServer, asked: list[tuple[float, int, int]], requests: int, tokens: int, window: int
) -> None:
    """Two processes, a key and its workspace, requests and tokens; against a plain model at the scripts' very time."""
    key = fresh(requests=requests, tokens=tokens, window=window)
    workspace = fresh("workspace", requests=4, window=4)

    async def follow() -> None:
        both = [Process(server.url) for _ in range(2)]
        admitted: list[tuple[int, int]] = []
        for pause, which, max_tokens in asked:
            await both[0].pass_time(pause)
            outcome = await ask(both[which].limits, key, workspace, max_tokens=max_tokens)
            now, weight = await both[0].now(), min(max_tokens + 1, tokens)
            inside = [w for at, w in admitted if at >= now - window * 1_000_000]
            shared = [at for at, _ in admitted if at >= now - 4_000_000]
            fits = len(inside) < requests and sum(inside) + weight <= tokens and len(shared) < 4
            assert outcome.admitted == fits
            if fits:
                admitted.append((now, weight))
        for process in both:
            await process.link.close()

    asyncio.run(follow())


async def test_tokens_are_settled_by_fact_whoever_asks(processes: list[Process]) -> None:
    thousand = fresh(tokens=1000)
    first = await ask(processes[0].limits, thousand, max_tokens=999)
    assert not (await ask(processes[1].limits, thousand, max_tokens=1)).admitted
    first.settle(450)
    await processes[0].link.call("PING")
    assert (await ask(processes[1].limits, thousand, max_tokens=549)).admitted
    refused = await ask(processes[2].limits, thousand, max_tokens=1)
    assert refused.retry_after == 60
    await processes[2].pass_time(61)
    assert (await ask(processes[2].limits, thousand, max_tokens=999)).admitted


async def test_a_stream_holds_its_slot_until_it_ends(processes: list[Process]) -> None:
    two = fresh(streams=2)
    running = [await ask(process.limits, two, stream=True) for process in processes]
    assert [asked.admitted for asked in running] == [True, True, False]
    assert (await ask(processes[2].limits, two)).admitted
    running[0].settle()
    await processes[0].link.call("PING")
    assert (await ask(processes[2].limits, two, stream=True)).admitted


async def test_a_streams_lease_is_renewed_while_it_runs_and_ends_with_its_process(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LEASE", 0.6)
    monkeypatch.setattr(shared, "RENEW_EVERY", 0.2)
    alone = fresh(streams=1)
    assert (await ask(processes[0].limits, alone, stream=True)).admitted
    await asyncio.sleep(1)
    assert not (await ask(processes[1].limits, alone, stream=True)).admitted
    await processes[0].link.close()  # as its death does: nobody renews
    processes[0].limits._streams.clear()
    await asyncio.sleep(0.8)
    assert (await ask(processes[1].limits, alone, stream=True)).admitted


async def test_a_request_that_is_cancelled_while_it_is_asked_for_holds_nothing(processes: list[Process]) -> None:
    held = fresh(requests=5, tokens=100, streams=1)
    await processes[0].link.call("PING")
    asking = asyncio.ensure_future(ask(processes[0].limits, held, stream=True, max_tokens=99))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await processes[0].link.call("PING")
    again = await ask(processes[1].limits, held, stream=True, max_tokens=99)
    assert again.admitted
    assert again.shown[1] == 3, "that it was asked counts"


async def test_a_clock_that_jumps_back_harms_nothing(one: Process) -> None:
    two = fresh(requests=2, window=10)
    await ask(one.limits, two)
    # As if Redis' clock had been an hour further than it is now.
    raw = int(await one.link.call("HGET", CLOCK, "raw"))
    await one.link.call("HSET", CLOCK, "raw", raw + 3_600_000_000)
    await one.link.call("ZINCRBY", f"{redis_link.prefix}:limits:{two.ref}:r", 3_600_000_000, await _only(one, two))
    before = await one.now()
    await ask(one.limits, two)
    refused = await ask(one.limits, two)
    assert not refused.admitted
    assert refused.retry_after <= 11, "nobody waits an hour"
    assert await one.now() >= before
    await one.pass_time(refused.retry_after)
    assert (await ask(one.limits, two)).admitted


async def _only(process: Process, held: Scope) -> bytes:
    (entry,) = await process.link.call("ZRANGE", f"{redis_link.prefix}:limits:{held.ref}:r", 0, -1)
    assert isinstance(entry, bytes)
    return entry


async def test_a_long_log_is_bounded_and_counts_everything(processes: list[Process]) -> None:
    many = fresh(requests=1_000_000, tokens=10**9, window=60)
    count = FINE + 1500
    asked = []
    for _ in range(count // 500 + 1):
        asked += await asyncio.gather(*(ask(processes[n % 3].limits, many, max_tokens=9) for n in range(500)))
    last = await ask(processes[0].limits, many, max_tokens=9)
    assert last.shown[1] == 1_000_000 - len(asked) - 1
    base = f"{redis_link.prefix}:limits:{many.ref}"
    assert await processes[0].link.call("ZCARD", f"{base}:r") < FINE + 1000
    for one in asked[-700:]:
        one.settle(3)
    for process in processes:
        await process.link.call("PING")
    total = int(await processes[0].link.call("HGET", f"{base}:tw", ""))
    assert total == 10 * (len(asked) + 1) - 7 * 700, "those that share an entry are settled by fact, too"
    await processes[0].pass_time(61)
    assert (await ask(processes[0].limits, many, max_tokens=9)).shown[1] == 999_999
    assert int(await processes[0].link.call("HGET", f"{base}:tw", "")) == 10


async def test_nothing_is_left_in_redis_when_the_windows_are_over(one: Process) -> None:
    short = fresh(requests=5, tokens=500, streams=5, window=1)
    asked = await ask(one.limits, short, stream=True)
    asked.settle(5)
    base = f"{redis_link.prefix}:limits:{short.ref}"
    assert {await one.link.call("PTTL", f"{base}:{log}") > 0 for log in ("r", "t", "tw")} == {True}
    await asyncio.sleep(2.2)
    assert await one.link.call("EXISTS", f"{base}:r", f"{base}:t", f"{base}:tw", f"{base}:s") == 0
