"""A workspace that chose to keep prompts and answers finds them with its requests, however they were answered."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process
from tests.gateway.scene import Scene
from tests.upstream import Upstream

PRIVATE = [{"role": "user", "content": "the-private-prompt"}]


@pytest.fixture
def keeper(gateway: Process) -> Account:
    """Somebody whose workspace keeps prompts and answers."""
    account = Account(gateway.url, "keeper")
    account.call("PATCH", f"/api/workspaces/{account.workspace['id']}", 200, store_content=True)
    return account


@pytest.fixture
def kept(gateway: Process, upstream: Upstream, keeper: Account) -> Iterator[Scene]:
    scene = Scene(gateway.url, upstream, keeper, keeper.create_key()["key"])
    yield scene
    scene.close()


def content(scene: Scene, response: Any) -> Any:
    return scene.record(response)["content"]


def test_a_whole_answer(kept: Scene) -> None:
    response = kept.post(messages=PRIVATE, temperature=0.5)
    found = content(kept, response)
    assert (found["request"]["messages"], found["request"]["temperature"]) == (PRIVATE, 0.5)
    assert found["answer"] == response.json()
    assert found["text"] == "word 0 word 1 word 2 "


def test_a_stream(kept: Scene) -> None:
    with kept.stream(messages=PRIVATE) as response:
        response.read()
    found = content(kept, response)
    assert (found["request"]["messages"], found["answer"], found["text"]) == (PRIVATE, None, "word 0 word 1 word 2 ")


def test_one_that_failed(kept: Scene) -> None:
    kept.behave({"status": 400})
    found = content(kept, kept.post(messages=PRIVATE))
    assert (found["request"]["messages"], found["answer"], found["text"]) == (PRIVATE, None, "")


@pytest.mark.parametrize("stream", [False, True])
def test_one_from_the_cache(kept: Scene, stream: bool) -> None:
    for _ in range(2):
        response = kept.post(messages=PRIVATE, temperature=0, stream=stream)
    assert response.headers["x-gateway-cache"] == "hit"
    assert content(kept, response)["text"] == "word 0 word 1 word 2 "


def test_a_strict_one_is_kept_no_less(kept: Scene) -> None:
    response = kept.post(messages=PRIVATE, privacy_mode="strict")
    assert response.headers["x-gateway-privacy"] == "local"
    assert content(kept, response)["request"]["messages"] == PRIVATE


def test_no_file_of_the_gateway_has_it_in_words(kept: Scene, gateway: Process) -> None:
    prompt = f"private-{time.time_ns()}"
    content(kept, kept.post(messages=[{"role": "user", "content": prompt}]))
    spool = gateway.data_dir / "spool"
    found = [path for path in (*spool.iterdir(), gateway.log) if prompt.encode() in path.read_bytes()]
    assert found == []


def test_turned_off_nothing_more_is_kept(kept: Scene, keeper: Account) -> None:
    kept.post(messages=PRIVATE)
    path = f"/api/workspaces/{keeper.workspace['id']}"
    keeper.call("PATCH", path, 200, store_content=False)
    time.sleep(1)
    response = kept.post(messages=PRIVATE)
    assert content(kept, response) is None
    keeper.call("PATCH", path, 200, store_content=True)
    assert content(kept, response) is None
