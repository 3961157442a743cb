"""Limits of one process: no span of a window ever has more than the limit, whatever is asked when."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from keys.limits import Scope
from routing.limits import LocalLimits
from routing.limits.log import FINE, Log
from tests.routing.limiting import Asked, ask, exchange_of, scope


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def run(limits: LocalLimits, *scopes: Scope, **request: object) -> Asked:
    """`ask`, which waits for nothing in one process."""
    return asyncio.run(ask(limits, *scopes, **request))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> LocalLimits:
    return LocalLimits(clock)


def most_within(moments: list[tuple[float, int]], window: float) -> int:
    """The most that any span of `window` seconds has, both ends included."""
    return max((sum(w for at, w in moments if start <= at <= start + window) for start, _ in moments), default=0)


# --- Requests ------------------------------------------------------------------------------------


async def test_the_limit_is_admitted_and_no_more(limits: LocalLimits, clock: Clock) -> None:
    three = scope(requests=3, window=60)
    assert [(await ask(limits, three)).admitted for _ in range(5)] == [True, True, True, False, False]
    clock.now += 60
    assert not (await ask(limits, three)).admitted, "a span of exactly the window is one, too"
    clock.now += 0.001
    assert (await ask(limits, three)).admitted


async def test_a_window_has_no_edge_to_wait_for(limits: LocalLimits, clock: Clock) -> None:
    """What a fixed window lets through twice: all at its end, all at the next one's beginning."""
    ten = scope(requests=10, window=60)
    clock.now = 119.9
    assert sum([(await ask(limits, ten)).admitted for _ in range(20)]) == 10
    clock.now = 120.1
    assert sum([(await ask(limits, ten)).admitted for _ in range(20)]) == 0
    clock.now = 180
    assert sum([(await ask(limits, ten)).admitted for _ in range(20)]) == 10


async def test_what_one_scope_refuses_is_counted_in_none(limits: LocalLimits) -> None:
    key, workspace = scope(requests=5), scope("workspace", requests=2)
    assert [(await ask(limits, key, workspace)).admitted for _ in range(9)] == [True] * 2 + [False] * 7
    assert [(await ask(limits, key)).admitted for _ in range(4)] == [True] * 3 + [False]


async def test_a_key_without_limits_is_not_counted(limits: LocalLimits) -> None:
    asked = await ask(limits)
    assert (asked.permit, asked.exchange.standing) == (None, None)


async def test_the_refusal_names_scope_limit_and_window(limits: LocalLimits) -> None:
    for kind, who in (
        ("key", "This gateway key ('the key')"),
        ("user", "All keys of the member who made this one together"),
        ("workspace", "All keys of the workspace 'the workspace' together"),
    ):
        one = scope(kind, requests=1, window=30)  # type: ignore[arg-type]
        await ask(limits, one)
        error = (await ask(limits, one)).error
        assert error is not None
        assert error.message == f"{who} may make 1 request in any 30 seconds; try again in 30 seconds."
        assert error.body()["error"] | {"message": ""} == {
            "message": "", "type": "rate_limit_error", "code": "rate_limit_exceeded", "param": None,
            "scope": kind, "unit": "requests", "limit": 1, "window": 30,
        }  # fmt: skip


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30), st.integers(1, 4), st.integers(1, 12))
def test_retry_after_is_right_to_the_second(pauses: list[float], limit: int, window: int) -> None:
    clock = Clock()
    limits = LocalLimits(clock)
    scopes = (scope(requests=limit, window=window), scope("workspace", requests=limit + 1, window=2 * window))
    for pause in pauses:
        clock.now += pause
        asked = run(limits, *scopes)
        if asked.admitted:
            continue
        began = clock.now
        clock.now = began + asked.retry_after - 1
        assert asked.retry_after >= 1
        assert not run(limits, *scopes).admitted, "a second less is not enough"
        clock.now = began + asked.retry_after + 1e-5
        assert run(limits, *scopes).admitted, "waiting that long is enough"


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.5, 1.0, 2.5, 10.0]), st.integers(0, 2)), max_size=60),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 10)), min_size=3, max_size=3),
)
def test_no_span_of_a_window_has_more_than_the_limit(
    asked: list[tuple[float, int]], facts: list[tuple[int, int]]
) -> None:
    """Three keys of a workspace, asked in any order: each key's limit holds, and the workspace's over all of them."""
    clock = Clock()
    limits = LocalLimits(clock)
    keys = [scope("key", str(number), requests=limit, window=window) for number, (limit, window) in enumerate(facts)]
    workspace = scope("workspace", requests=5, window=7)
    admitted: list[tuple[float, int, int]] = []
    for pause, which in asked:
        clock.now += pause
        before = [sum(at >= clock.now - s.window for at, _, key in admitted if key == which) for s in [keys[which]]]
        all_before = sum(at >= clock.now - workspace.window for at, _, _ in admitted)
        fits = before[0] < (keys[which].requests or 0) and all_before < 5
        assert run(limits, keys[which], workspace).admitted == fits, "and what fits is admitted"
        if fits:
            admitted.append((clock.now, 1, which))
    for number, key in enumerate(keys):
        own = [(at, weight) for at, weight, which in admitted if which == number]
        assert most_within(own, key.window) <= (key.requests or 0)
    assert most_within([(at, weight) for at, weight, _ in admitted], workspace.window) <= 5


def test_the_clock_is_one_that_nobody_can_set() -> None:
    assert LocalLimits()._counts.clock is time.monotonic


async def test_a_limit_that_was_changed_holds_at_once(limits: LocalLimits, clock: Clock) -> None:
    assert [(await ask(limits, scope(requests=5, window=10))).admitted for _ in range(5)] == [True] * 5
    assert not (await ask(limits, scope(requests=3, window=10))).admitted
    assert (await ask(limits, scope(requests=6, window=10))).admitted
    clock.now += 5
    assert (await ask(limits, scope(requests=3, window=4))).admitted


# --- Headers -------------------------------------------------------------------------------------


async def test_the_headers_show_the_tightest_scope(limits: LocalLimits, clock: Clock) -> None:
    key, workspace = scope(requests=10, window=10), scope("workspace", requests=5, window=20)
    assert (await ask(limits, key, workspace)).shown == (5, 4, 20)
    clock.now += 3.5
    assert (await ask(limits, key, workspace)).shown == (5, 3, 20)
    for _ in range(3):
        await ask(limits, key, workspace)
    clock.now += 5.25
    refused = await ask(limits, key, workspace)
    assert refused.shown == (5, 0, 15), "until all of it is there again"
    assert refused.retry_after == 12, "until one is"


async def test_looking_counts_nothing(limits: LocalLimits) -> None:
    three = scope(requests=3)
    caller = exchange_of(three).caller
    assert caller is not None
    for _ in range(9):
        standing = await limits.standing(caller)
    assert standing is not None
    assert dict(standing.headers())[b"x-ratelimit-remaining-requests"] == b"3"
    assert dict(standing.headers())[b"x-ratelimit-reset-requests"] == b"0"


# --- Tokens --------------------------------------------------------------------------------------


async def test_tokens_are_reserved_by_estimate_and_settled_by_fact(limits: LocalLimits) -> None:
    thousand = scope(tokens=1000)
    first = await ask(limits, thousand, max_tokens=599, length=1600)  # 400 + 1 + 599
    assert first.admitted
    refused = await ask(limits, thousand, max_tokens=1)
    assert refused.error is not None
    assert "may use 1000 tokens in any 60 seconds" in refused.error.message
    first.settle(450)
    assert (await ask(limits, thousand, max_tokens=549)).admitted
    assert not (await ask(limits, thousand, max_tokens=1)).admitted


async def test_what_used_more_than_it_reserved_is_made_up_for(limits: LocalLimits, clock: Clock) -> None:
    thousand = scope(tokens=1000, window=60)
    asked = await ask(limits, thousand, max_tokens=9)
    asked.settle(5000)
    clock.now += 59
    assert not (await ask(limits, thousand, max_tokens=1)).admitted
    clock.now += 1.5
    assert (await ask(limits, thousand, max_tokens=1)).admitted


async def test_a_request_larger_than_the_limit_needs_it_whole(limits: LocalLimits, clock: Clock) -> None:
    hundred = scope(tokens=100)
    small = await ask(limits, hundred, max_tokens=1)
    small.settle(1)
    assert not (await ask(limits, hundred, max_tokens=10**9)).admitted
    clock.now += 61
    assert (await ask(limits, hundred, max_tokens=10**9)).admitted
    assert not (await ask(limits, hundred, max_tokens=1)).admitted


@pytest.mark.parametrize("hostile", [-5, 0, 2**63, "many", True, 1.5, None, [], {}])
async def test_a_hostile_number_of_tokens_is_reserved_as_some(limits: LocalLimits, hostile: object) -> None:
    limit = scope(tokens=100_000_000)
    exchange = exchange_of(limit)
    exchange.body = {"max_tokens": hostile}
    permit = await limits.admit(exchange)
    assert permit is not None
    assert 0 < limits._counts.of(limit).tokens <= 10_000_001
    permit.settle(0)
    assert limits._counts.of(limit).tokens == 0


async def test_every_answer_that_is_asked_for_is_reserved(limits: LocalLimits) -> None:
    limit = scope(tokens=10_000)
    exchange = exchange_of(limit, length=400)
    exchange.body = {"max_completion_tokens": 100, "max_tokens": 7, "n": 3}
    await limits.admit(exchange)
    assert limits._counts.of(limit).tokens == 401


async def test_settling_what_has_expired_changes_nothing(limits: LocalLimits, clock: Clock) -> None:
    hundred = scope(tokens=100, window=10)
    late = await ask(limits, hundred, max_tokens=50)
    clock.now += 11
    await ask(limits, hundred, max_tokens=9)
    late.settle(90)
    assert limits._counts.of(hundred).tokens == 10


# --- Streams -------------------------------------------------------------------------------------


async def test_streams_take_a_slot_until_they_end(limits: LocalLimits) -> None:
    two = scope(streams=2)
    first, second = await ask(limits, two, stream=True), await ask(limits, two, stream=True)
    refused = await ask(limits, two, stream=True)
    assert first.admitted
    assert second.admitted
    assert refused.error is not None
    assert (
        refused.error.message == "This gateway key ('the key') may have 2 streams running at a time; "
        "try again in 1 second."
    )
    assert (await ask(limits, two)).admitted, "what is no stream takes none"
    first.settle()
    first.settle()
    assert (await ask(limits, two, stream=True)).admitted
    assert not (await ask(limits, two, stream=True)).admitted


# --- Everything at once --------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Requests, tokens and streams of two keys in one workspace, with ends in any order, against a plain model."""

    @initialize(window=st.integers(1, 10), requests=st.integers(1, 6), tokens=st.integers(1, 60))
    def begin(self, window: int, requests: int, tokens: int) -> None:
        self.clock = Clock()
        self.limits = LocalLimits(self.clock)
        self.keys = [scope("key", str(n), requests=requests, tokens=tokens, streams=2, window=window) for n in (0, 1)]
        self.workspace = scope("workspace", requests=requests + 2, tokens=tokens + 20, streams=3, window=window + 1)
        # (when, key, tokens that count, whether a stream that runs), and the requests that run.
        self.admitted: list[list[float | int | bool]] = []
        self.running: list[tuple[int, Asked]] = []

    def counts(self, limit: Scope, which: int | None) -> list[list[float | int | bool]]:
        return [a for a in self.admitted if which in (None, a[1]) and a[0] >= self.clock.now - limit.window]

    def fits(self, limit: Scope, which: int | None, tokens: int, stream: bool) -> bool:
        inside = self.counts(limit, which)
        assert limit.requests is not None
        assert limit.tokens is not None
        assert limit.streams is not None
        streams = sum(bool(a[3]) for a in self.admitted if which in (None, a[1]))
        return (
            len(inside) < limit.requests
            and sum(a[2 if which is not None else 4] for a in inside) + min(tokens, limit.tokens) <= limit.tokens
            and not (stream and streams >= limit.streams)
        )

    @rule(pause=st.sampled_from([0.0, 0.25, 1.0, 3.0, 11.0]))
    def wait(self, pause: float) -> None:
        self.clock.now += pause

    @rule(which=st.integers(0, 1), tokens=st.integers(1, 80), stream=st.booleans())
    def request(self, which: int, tokens: int, stream: bool) -> None:
        key = self.keys[which]
        expected = self.fits(key, which, tokens + 1, stream) and self.fits(self.workspace, None, tokens + 1, stream)
        asked = run(self.limits, key, self.workspace, max_tokens=tokens, stream=stream)
        assert asked.admitted == expected
        if asked.admitted:
            assert key.tokens is not None
            assert self.workspace.tokens is not None
            reserved, in_workspace = min(tokens + 1, key.tokens), min(tokens + 1, self.workspace.tokens)
            self.admitted.append([self.clock.now, which, reserved, stream, in_workspace])
            self.running.append((len(self.admitted) - 1, asked))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), used=st.integers(0, 100))
    def end(self, data: st.DataObject, used: int) -> None:
        index, asked = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        asked.settle(used)
        self.admitted[index][2] = self.admitted[index][4] = used
        self.admitted[index][3] = False

    @invariant()
    def no_span_has_more_requests_than_the_limit(self) -> None:
        if not hasattr(self, "admitted"):
            return
        for limit, which in ((self.keys[0], 0), (self.keys[1], 1), (self.workspace, None)):
            moments = [(float(a[0]), 1) for a in self.admitted if which in (None, a[1])]
            assert most_within(moments, limit.window) <= (limit.requests or 0)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyInterleaving = Machine.TestCase


# --- Memory --------------------------------------------------------------------------------------


def test_a_long_log_is_bounded_and_never_counts_too_little() -> None:
    log, window, exact = Log(), 60.0, 0
    moments = [n * 0.0005 for n in range(200_000)]
    for at in moments:
        log.expire(at - window)
        log.add(at, 0, window)
    exact = sum(at >= moments[-1] - window for at in moments)
    assert exact <= log.requests <= exact * 1.001 + 1
    assert len(log.entries) <= 2 * FINE + 2


async def test_idle_keys_are_forgotten(limits: LocalLimits, clock: Clock) -> None:
    for number in range(2000):
        clock.now += 1
        await ask(limits, scope("key", str(number), requests=5, window=10))
    assert len(limits._counts) < 50
