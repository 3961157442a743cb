"""A client that leaves stops the upstream within a second, and is billed for what was produced."""

import time
from typing import Any

import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.raw_client import RawClient, newest
from tests.gateway.scene import Scene

SECOND = 1.0


def wait_for_attempt(scene: Scene, within: float = 5) -> None:
    end = time.monotonic() + within
    while not scene.received():
        assert time.monotonic() < end, "the upstream was never asked"
        time.sleep(0.02)


def left(scene: Scene, before: float) -> dict[str, Any]:
    """The upstream's record; its client went within a second after `before`."""
    attempt = scene.upstream.wait_until_left(within=3, scene=scene.name, model=scene.model)
    assert attempt["peer_left_at"] - before < SECOND
    return attempt


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_in_mid_stream(make_scene: MakeScene, reset: bool) -> None:
    scene = make_scene()
    scene.behave({"chunks": 500, "interval": 0.03})
    client = RawClient(scene, stream=True)
    client.read_until(b"word 5 ")
    before = time.time()
    client.leave(reset=reset)
    attempt = left(scene, before)
    assert attempt["chunks_sent"] < 100
    record = newest(scene)
    assert record["status"] == 499
    assert record["usage_estimated"] is True
    assert 6 <= record["completion_tokens"] <= 3 * attempt["chunks_sent"]
    assert record["prompt_tokens"] > 0


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({"delay": 30}, id="before its head"),
        pytest.param({"first_byte_delay": 30}, id="before its first byte"),
        pytest.param({"interval": 30}, id="between two chunks"),
    ],
)
def test_while_the_upstream_is_silent(make_scene: MakeScene, behaviour: dict[str, Any]) -> None:
    scene = make_scene()
    scene.behave(behaviour)
    client = RawClient(scene, stream=True)
    wait_for_attempt(scene)
    time.sleep(0.3)
    before = time.time()
    client.leave()
    left(scene, before)
    record = newest(scene)
    assert (record["status"], record["stream"]) == (499, True)


@pytest.mark.parametrize(
    "behaviour", [{"delay": 30}, {"first_byte_delay": 30}, {"split": 1, "split_pause": 0.2}], ids=str
)
def test_without_a_stream(make_scene: MakeScene, behaviour: dict[str, Any]) -> None:
    scene = make_scene()
    scene.behave(behaviour)
    client = RawClient(scene)
    wait_for_attempt(scene)
    time.sleep(0.3)
    before = time.time()
    client.leave()
    left(scene, before)
    assert newest(scene)["status"] == 499


def test_while_the_gateway_waits_to_retry(make_scene: MakeScene) -> None:
    """A client that left is not retried for."""
    scene = make_scene()
    scene.behave({"status": 429, "headers": {"retry-after": "1"}})
    client = RawClient(scene)
    wait_for_attempt(scene)
    client.leave()
    time.sleep(2.5)
    assert len(scene.received()) == 1
    assert newest(scene)["status"] == 499


def test_usage_that_came_before_it_left_is_not_estimated(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.behave({"usage": "every", "chunks": 500, "interval": 0.03})
    client = RawClient(scene, stream=True)
    client.read_until(b"word 5 ")
    client.leave()
    record = newest(scene)
    assert record["status"] == 499
    assert record["prompt_tokens"] == 7
    assert record["completion_tokens"] >= 5


def test_the_gateway_still_answers_after_many_have_left(scene: Scene) -> None:
    scene.behave({"chunks": 100, "interval": 0.05})
    clients = [RawClient(scene, stream=True) for _ in range(50)]
    for client in clients:
        client.read_until(b"\r\n\r\n")
    for client in clients:
        client.leave(reset=True)
    end = time.monotonic() + 3
    while any(attempt["peer_left_at"] is None for attempt in scene.received()):
        assert time.monotonic() < end
        time.sleep(0.05)
    scene.behave({})
    assert scene.post().status_code == 200
