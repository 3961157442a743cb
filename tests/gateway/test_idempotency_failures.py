"""Idempotency keys while something fails: the process that holds one dies, the database does not answer."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from gateway_project.embedded import dsn
from tests.gateway.process import Process, web_process
from tests.gateway.scene import Scene
from tests.gateway.test_idempotency import ask, assert_replays, error_of, new_key, wait_for_attempt


@pytest.fixture
def database(gateway: Process) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(dsn(gateway.data_dir), autocommit=True) as connection:
        yield connection


@contextlib.contextmanager
def silent(database: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    """No question about an idempotency key is answered meanwhile."""
    with database.transaction():
        database.execute("LOCK TABLE routing_idempotentrequest IN ACCESS EXCLUSIVE MODE")
        yield


def test_a_killed_process_holds_its_key_until_its_lease_ends(
    gateway: Process, scene: Scene, database: psycopg.Connection[tuple[object, ...]]
) -> None:
    victim = web_process(gateway.data_dir)
    victim.wait_until_ready()
    scene.behave({"delay": 20}, {})
    value = new_key()
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(ask, scene, value, url=victim.url)
        wait_for_attempt(scene)
        victim.process.kill()
        assert lost.exception() is not None
    assert error_of(ask(scene, value), 409)["code"] == "idempotency_key_in_use"

    # A minute later, as the database sees it.
    database.execute("UPDATE routing_idempotentrequest SET lease_until = now() - interval '1 s' WHERE status IS NULL")
    end = time.monotonic() + 15  # it may have been started a moment ago
    while (again := ask(scene, value)).status_code == 409 and time.monotonic() < end:
        time.sleep(0.5)
    assert again.status_code == 200, again.text
    assert_replays(again, ask(scene, value))
    assert len(scene.received()) == 2


def test_a_database_that_does_not_answer_is_no_reason_to_ask_twice(
    scene: Scene, database: psycopg.Connection[tuple[object, ...]]
) -> None:
    value = new_key()
    with silent(database):
        answer = ask(scene, value)
        error = error_of(answer, 503)
        assert "Idempotency-Key" in error["message"]
        assert int(answer.headers["retry-after"]) > 0
        assert scene.post().status_code == 200  # without the header
    assert len(scene.received()) == 1
    # The claim that arrived after all was given back.
    end = time.monotonic() + 5
    while (again := ask(scene, value)).status_code == 409 and time.monotonic() < end:
        time.sleep(0.1)
    assert again.status_code == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_does_not_wait_for_the_database_for_long(
    scene: Scene, database: psycopg.Connection[tuple[object, ...]], stream: bool
) -> None:
    """It is sent, and kept as soon as that can be done."""
    scene.behave({"delay": 1})
    value = new_key()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, scene, value, stream=stream)
        wait_for_attempt(scene)
        with silent(database):
            first = asked.result(10)
    assert first.status_code == 200
    end = time.monotonic() + 10
    while (again := ask(scene, value, stream=stream)).status_code == 409 and time.monotonic() < end:
        time.sleep(0.1)
    assert_replays(first, again)
