"""Whom a request asks, in which order and how often, and what a client that leaves leaves behind. Over real HTTP."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.lib.errors import ApiError, NoAvailableModel
from keys.kinds import KINDS, api_base
from routing import health
from routing.decision import Decision
from routing.endpoints import CHAT
from routing.exchange import Exchange, Label
from routing.health import Health
from routing.http1 import close_pools
from routing.policies import PolicyFacts
from routing.providers import reach as reaching
from routing.providers.base import Target, Timeouts
from routing.providers.reach import MORE_TRIES, TRIES, reach
from tests.upstream import Upstream

HASTY = Timeouts(connect=0.5, first_byte=0.5, idle=0.5, total=5)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Health:
    fresh = Health()
    monkeypatch.setattr(health, "current", fresh)
    return fresh


@pytest.fixture
async def pools() -> AsyncIterator[None]:
    yield
    await close_pools()


class Fleet:
    """Targets that answer as told, each a scene of the upstream."""

    def __init__(self, upstream: Upstream, *behaviours: dict[str, object]) -> None:
        self.upstream = upstream
        self.name = f"fleet-{next(_numbers)}"
        kind = KINDS["openai_compatible"]
        self.targets = []
        for number, behaviour in enumerate(behaviours):
            scene = f"{self.name}-{number}"
            upstream.behave("m", behaviour, scene=scene)
            base_url = api_base(kind, upstream.base_url(scene))
            self.targets.append(Target(scene, scene, kind, base_url, "m", True, None))

    def exchange(self, *, hedge: bool = False, timeouts: Timeouts = HASTY) -> Exchange:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Say something."}]}
        policy = PolicyFacts(hedge=hedge, timeouts=timeouts)
        return Exchange(CHAT, body=body, model="auto", policy=policy, label=Label("simple", 0.1, "chat", 5))

    def decision(self, exchange: Exchange) -> Decision:
        return Decision(list(self.targets), False, exchange.policy)

    def calls(self) -> list[int]:
        return [len(self.upstream.requests(scene=f"{self.name}-{number}")) for number in range(len(self.targets))]


@settings(max_examples=60, deadline=None)
@given(
    behaviours=st.lists(
        st.sampled_from([{"status": 500}, {"status": 401}, {"status": 404}, {"status": 429}, {"body": "junk"}, {}]),
        min_size=1,
        max_size=4,
    )
)
def test_calls_are_bounded_and_whoever_is_well_answers(upstream: Upstream, behaviours: list[dict[str, object]]) -> None:
    fleet = Fleet(upstream, *behaviours)
    exchange = fleet.exchange()

    async def run() -> bool:
        try:
            await reach(exchange, fleet.decision(exchange))
        except ApiError:
            return False
        finally:
            await close_pools()
        return True

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(health, "current", Health())
        patched.setattr(reaching, "BACKOFF", 0.001)
        answered = asyncio.run(run())
    calls = fleet.calls()
    assert answered == ({} in behaviours)
    assert sum(calls) == len(exchange.attempts) <= len(behaviours) + MORE_TRIES
    assert max(calls) <= TRIES
    if answered:
        # Those before it once each, nobody after it.
        well = behaviours.index({})
        assert calls == [1] * (well + 1) + [0] * (len(behaviours) - well - 1)
        assert exchange.target is fleet.targets[well]


@pytest.mark.usefixtures("pools")
async def test_a_client_that_leaves_during_the_probe_leaves_it_to_another(upstream: Upstream, fresh: Health) -> None:
    fleet = Fleet(upstream, {"delay": 5.0}, {})
    dead, _ = fleet.targets
    for _ in range(3):
        flight = fresh.begin(dead, stream=False)
        assert flight is not None
        flight.failed("HTTP 500")
    await asyncio.sleep(1.1)
    exchange = fleet.exchange(timeouts=Timeouts(5, 60, 5, 60))
    probing = asyncio.create_task(reach(exchange, fleet.decision(exchange)))
    await asyncio.sleep(0.2)
    state = fresh.state(dead.key)
    assert state is not None
    assert (state.breaker, state.in_flight) == ("half_open", 1)
    other = fleet.exchange()
    await reach(other, fleet.decision(other))
    assert [attempt.target.provider for attempt in other.attempts] == [fleet.targets[1].provider]
    probing.cancel()
    await asyncio.wait([probing])
    assert (state.breaker, state.in_flight) == ("open", 0)
    assert fresh.available(dead.key, fresh.clock())
    upstream.wait_until_left(within=1, scene=dead.provider)


@pytest.mark.usefixtures("pools")
async def test_a_probe_is_not_waited_for_at_a_clients_expense(upstream: Upstream, fresh: Health) -> None:
    """The time-out may be minutes; the target answered in milliseconds before it died."""
    fleet = Fleet(upstream, {}, {})
    patient = Timeouts(connect=5, first_byte=120, idle=60, total=600)
    for _ in range(3):
        exchange = fleet.exchange(timeouts=patient)
        await reach(exchange, fleet.decision(exchange))
        assert exchange.flight is not None
        exchange.flight.completed(5)
    upstream.behave("m", {"delay": 60.0}, scene=fleet.targets[0].provider)
    for _ in range(3):
        flight = fresh.begin(fleet.targets[0], stream=False)
        assert flight is not None
        flight.failed("no answer within 120 s")
    await asyncio.sleep(1.1)
    exchange = fleet.exchange(timeouts=patient)
    started = time.monotonic()
    await reach(exchange, fleet.decision(exchange))
    assert time.monotonic() - started < 20, "a second or two where nothing else runs; the time-out is 120"
    assert [attempt.failure for attempt in exchange.attempts] == ["timeout", ""]


@pytest.mark.usefixtures("pools")
async def test_nobody_outside_the_decision_is_asked_in_a_race(upstream: Upstream, fresh: Health) -> None:
    fleet = Fleet(upstream, {}, {})
    outside = fleet.targets.pop()
    for _ in range(25):
        exchange = fleet.exchange(hedge=True)
        await reach(exchange, fleet.decision(exchange))
        assert exchange.flight is not None
        exchange.flight.completed(5)
    upstream.behave("m", {"delay": 0.3}, scene=fleet.targets[0].provider)
    exchange = fleet.exchange(hedge=True)
    await reach(exchange, fleet.decision(exchange))
    assert len(exchange.attempts) == 1
    assert upstream.requests(scene=outside.provider) == []


@pytest.mark.usefixtures("pools")
async def test_targets_that_refuse_our_secret_are_not_asked_and_said_to_be(upstream: Upstream, fresh: Health) -> None:
    fleet = Fleet(upstream, {"status": 401})
    for _ in range(2):
        exchange = fleet.exchange()
        with pytest.raises(NoAvailableModel, match="No provider could answer") as raised:
            await reach(exchange, fleet.decision(exchange))
    assert exchange.attempts == []
    assert "does not accept the API key" in raised.value.message
    assert fleet.calls() == [1]


@pytest.mark.usefixtures("pools")
async def test_what_is_under_way_is_counted_to_its_end(upstream: Upstream, fresh: Health) -> None:
    fleet = Fleet(upstream, {"chunks": 3})
    exchange = fleet.exchange()
    exchange.stream = exchange.body["stream"] = True
    reply = await reach(exchange, fleet.decision(exchange))
    state = fresh.state(fleet.targets[0].key)
    assert state is not None
    assert state.in_flight == 1
    assert exchange.flight is not None
    exchange.flight.given_up()
    reply.close()
    assert state.in_flight == 0
