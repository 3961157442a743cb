"""A client that stays and does not read: given up after a while, and cheap until then."""

import time
from typing import Any

import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.process import SERVER, Process
from tests.gateway.raw_client import RawClient, newest

pytestmark = pytest.mark.skipif(SERVER == "daphne", reason="daphne takes what the application sends, read or not")

STALL = 1.0  # in impatient_settings
ENDLESS: dict[str, Any] = {"text": "x" * 40_000_000, "chunks": 2_000}


def test_it_is_given_up_with_its_upstream(make_scene: MakeScene, impatient: Process) -> None:
    scene = make_scene(url=impatient.url)
    scene.behave(ENDLESS)
    client = RawClient(scene, stream=True)
    client.read_until(b"chat.completion.chunk")
    scene.upstream.wait_until_left(within=10, scene=scene.name, model=scene.model)
    record = newest(scene)
    assert record["status"] == 499
    assert record["latency_ms"] >= STALL * 1000
    assert record["completion_tokens"] > 0
    client.read_to_end()
    assert b"[DONE]" not in client.received


def test_a_slow_reader_gets_all_of_its_answer(make_scene: MakeScene, impatient: Process) -> None:
    scene = make_scene(url=impatient.url)
    scene.behave({"text": "x" * 3_000_000})
    client = RawClient(scene, receive_buffer=65_536)
    began = time.monotonic()
    while not client.received.endswith(b"}}}"):
        time.sleep(0.2)
        client.read(250_000)
    assert time.monotonic() - began > 2 * STALL
    assert client.received.count(b"x") >= 3_000_000
    client.leave()


def test_what_it_does_not_read_is_not_fetched(make_scene: MakeScene) -> None:
    """Backpressure, from its window to the upstream's."""
    scene = make_scene()
    scene.behave(ENDLESS)
    client = RawClient(scene, stream=True, receive_buffer=65_536)
    client.read_until(b"chat.completion.chunk")
    time.sleep(1.5)
    sent = scene.received()[0]["chunks_sent"]
    client.leave()
    # The kernel takes some ten megabytes on the way from the upstream, each of which is fifty chunks.
    assert sent < 1_000, f"{sent} chunks of 20 kB went to a client that read one"
