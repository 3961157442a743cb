"""How the gateway ends, and how it keeps its children running until then."""

import signal
import time

import httpx
import pytest

from tests.platform.conftest import Start
from tests.platform.gateway import Gateway, running, wait_until


def with_worker(gateway: Gateway) -> Gateway:
    """Wait until every process that it starts is there."""
    gateway.ready()
    wait_until(lambda: gateway.count("celery") == 3, 30, "the workers and the beat")
    return gateway


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process(start: Start, number: int) -> None:
    """An idle one in well under a second where nothing else runs."""
    gateway = with_worker(start())
    wait_until(lambda: healthy(gateway), 30, "health")
    processes = gateway.processes()
    assert len(processes) >= 6  # supervisor, keeper, web, worker, its beat, Postgres and its helpers
    gateway.signal(number)
    assert gateway.ended(5 if number == signal.SIGINT else 10) == 0
    gateway.assert_all_gone(processes)


def test_kill_9_while_it_starts_leaves_nothing(start: Start) -> None:
    gateway = start(fresh=True)
    wait_until(lambda: (gateway.data_dir / "postgres").exists(), 20, "Postgres")
    processes = gateway.processes()
    gateway.kill()
    gateway.assert_all_gone(processes)


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    gateway = with_worker(start())
    processes = gateway.processes()
    gateway.signal(signal.SIGINT)
    time.sleep(0.2)
    gateway.signal(signal.SIGINT)
    assert gateway.ended(4) == 0
    gateway.assert_all_gone(processes)


@pytest.fixture(scope="module")
def gateway(start_shared: Start) -> Gateway:
    return with_worker(start_shared())


@pytest.mark.parametrize("word", ["gateway_project.serve", "--beat", "keeper", "bin/postgres"])
def test_a_child_that_dies_is_started_again(gateway: Gateway, word: str) -> None:
    before = len(gateway.output)
    victim = gateway.child(word)
    victim.kill()
    wait_until(lambda: not running(victim), 5, f"the end of {word}")

    def again() -> bool:
        try:
            return gateway.child(word).pid != victim.pid
        except LookupError:
            return False

    wait_until(again, 15, f"another {word}")
    wait_until(lambda: healthy(gateway), 30, "health")
    if word != "keeper":
        assert "starting it again" in gateway.output[before:]


def test_kill_9_ends_every_process(gateway: Gateway) -> None:
    """Also those that were started again."""
    wait_until(lambda: gateway.count("celery") == 3, 30, "the workers and the beat")
    processes = gateway.processes()
    gateway.kill()
    gateway.assert_all_gone(processes)
    # A clean end: the next start need not recover.
    assert "database system is shut down" in (gateway.data_dir / "postgres.log").read_text()


def test_connections_wait_and_pauses_grow_while_the_web_process_restarts(start: Start) -> None:
    gateway = start().ready()
    gateway.child("gateway_project.serve").kill()
    assert gateway.get("/health").status_code == 200
    for _ in range(2):
        wait_until(lambda: serving(gateway), 20, "a web process")
        gateway.child("gateway_project.serve").kill()
        time.sleep(0.2)
    wait_until(lambda: gateway.output.count("web ended with status -9") == 3, 20, "three log lines")
    pauses = [line.split("again in ")[1].split(" s")[0] for line in gateway.output.splitlines() if "web ended" in line]
    assert pauses == ["0.5", "1.0", "2.0"]


def healthy(gateway: Gateway) -> bool:
    try:
        return bool(gateway.get("/health").json()["status"] == "healthy")
    except httpx.HTTPError:
        return False


def serving(gateway: Gateway) -> bool:
    try:
        return gateway.child("gateway_project.serve").is_running()
    except LookupError:
        return False
