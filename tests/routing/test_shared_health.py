"""What one process finds out about a target reaches the others through Redis, and Redis may go at any time."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from keys.kinds import KINDS
from routing.breaker import FAILURES
from routing.health import Health
from routing.health_sharing import Sharing
from routing.providers.base import Target
from routing.share import TICK, Channel
from routing.target_state import TargetState
from tests.redis_server import RedisServer, running_redis

TARGET = Target("provider", "p", KINDS["openai_compatible"], "http://localhost/v1", "m", True, None)


def wait_until(is_so: Callable[[], bool], within: float = 10) -> None:
    end = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


class Process:
    """What a web process has of this: its own health, and its own thread."""

    def __init__(self, url: str) -> None:
        self.health = Health()
        self.channel = Channel(url)
        Sharing(self.health, self.channel)
        self.channel.start()
        wait_until(self.channel.connected.is_set)

    def fail(self, times: int = FAILURES) -> None:
        for _ in range(times):
            flight = self.health.begin(TARGET, stream=False, last_resort=True)
            assert flight is not None
            flight.failed("HTTP 503")

    @property
    def state(self) -> TargetState | None:
        return self.health.state(TARGET.key)

    @property
    def breaker(self) -> str:
        return self.state.breaker if self.state is not None else "never asked"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as running:
        yield running


@pytest.fixture
def processes(server: RedisServer) -> Iterator[list[Process]]:
    processes = [Process(server.url) for _ in range(3)]
    yield processes
    for process in processes:
        process.channel.stop()


def test_a_breaker_opens_and_closes_in_every_process(processes: list[Process]) -> None:
    one, *others = processes
    one.fail()
    wait_until(lambda: all(other.breaker == "open" for other in others), within=2)
    assert others[0].state is not None
    assert "HTTP 503" in others[0].state.reason
    assert others[0].state.retry_at - time.monotonic() < 2
    wait_until(lambda: one.health.available(TARGET.key, time.monotonic()))
    probe = one.health.begin(TARGET, stream=False)
    assert probe is not None
    probe.first_byte()
    probe.completed(1)
    wait_until(lambda: all(other.breaker == "closed" for other in others), within=2)


@pytest.mark.parametrize("number", ["nan", "inf", None, True])
def test_what_is_no_number_moves_no_figure_and_keeps_no_breaker_open(processes: list[Process], number: object) -> None:
    one, other, _ = processes
    told = {"key": TARGET.key, "kind": "vllm"}
    figures = {"good": 1, "bad": 0, "ttft_s": number, "ttfts": 1, "speed": 0, "speeds": 0, "under_way": 0}
    one.channel.publish("breaker", {**told, "state": "open", "reason": "", "credential": None, "retry_in": number})
    time.sleep(2 * TICK)
    one.channel.publish("outcomes", {**told, **figures})
    time.sleep(2 * TICK)
    one.fail()
    wait_until(lambda: other.breaker == "open")
    assert other.state is not None
    assert other.state.ttft_s is None
    wait_until(lambda: other.health.available(TARGET.key, time.monotonic()))


def test_while_one_process_sends_its_probe_the_others_wait(processes: list[Process]) -> None:
    one, other, _ = processes
    one.fail()
    wait_until(lambda: other.breaker == "open")
    wait_until(lambda: one.health.available(TARGET.key, time.monotonic()))
    probe = one.health.begin(TARGET, stream=False)
    assert probe is not None
    wait_until(lambda: other.state is not None and other.state.retry_at > time.monotonic() + 0.5, within=2)
    assert not other.health.available(TARGET.key, time.monotonic())
    probe.given_up()


def test_outcomes_speed_and_what_is_under_way_add_up(processes: list[Process]) -> None:
    one, two, three = processes
    for process in (one, two):
        flight = process.health.begin(TARGET, stream=True)
        assert flight is not None
        time.sleep(0.02)
        flight.first_byte()
        flight.failed("it broke off")
        assert process.health.begin(TARGET, stream=False) is not None
    wait_until(lambda: three.state is not None and three.state.in_flight == 2, within=4)
    assert three.state is not None
    assert three.state.error_rate > 0.3
    assert three.state.ttft_s == pytest.approx(0.02, abs=0.02)
    two.channel.stop()
    wait_until(lambda: three.state is not None and three.state.in_flight == 1)


def test_a_refused_secret_is_known_to_those_who_have_the_same(processes: list[Process]) -> None:
    one, same, renewed = processes
    same.health.credential_of = lambda provider_id: "old"
    renewed.health.credential_of = lambda provider_id: "new"
    flight = one.health.begin(TARGET, stream=False)
    assert flight is not None
    flight.denied("old", "it refuses our secret (HTTP 401)")
    wait_until(lambda: same.state is not None and same.state.denied, within=2)
    assert renewed.breaker == "never asked"


def test_nothing_is_hurt_when_redis_goes_and_all_is_well_when_it_is_back(
    server: RedisServer, processes: list[Process], caplog: pytest.LogCaptureFixture
) -> None:
    one, *others = processes
    server.stop()
    with caplog.at_level(logging.INFO):
        wait_until(lambda: not any(process.channel.connected.is_set() for process in processes))
        one.fail()
        assert one.breaker == "open"
        time.sleep(2.5)
        server.start()
        wait_until(lambda: all(process.channel.connected.is_set() for process in processes))
    said = [record.getMessage() for record in caplog.records if record.name == "routing.share"]
    assert sorted(said) == sorted([line for line in said if "away" in line] + ["Redis is back"] * len(processes))
    assert len([line for line in said if "away" in line]) == len(processes)
    assert "not-to-be-logged" not in caplog.text
    others[0].fail()
    wait_until(lambda: others[1].breaker == "open", within=3)


def test_what_nobody_understands_is_passed_over(server: RedisServer, processes: list[Process]) -> None:
    one, other, _ = processes
    with redis.Redis.from_url(server.url) as stranger:
        for news in (b"\xff", b"[]", b'["x",[["breaker",{}]]]', b'["x",[["outcomes",{"key":1}]]]', b'{"a":1}'):
            stranger.publish(one.channel._name, news)
    one.fail()
    wait_until(lambda: other.breaker == "open", within=2)


def test_any_module_may_publish(processes: list[Process]) -> None:
    heard: list[tuple[str, object]] = []
    one, other, _ = processes
    other.channel.on("conversation", lambda process, payload: heard.append((process, payload)))
    one.channel.publish("conversation", {"a": [1, 2]})
    wait_until(lambda: bool(heard), within=2)
    assert heard == [(one.channel.process, {"a": [1, 2]})]
