"""Two web processes with a Redis between them: what one has found out about a target, the other does not find out."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process, supervisor, web_process
from tests.gateway.scene import Scene
from tests.redis_server import running_redis
from tests.upstream import Upstream


@pytest.fixture
def redis_url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@pytest.fixture
def pair(redis_url: str) -> Iterator[tuple[Process, Process]]:
    """The product, and one more web process on the same data."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        first = supervisor(Path(directory), REDIS_URL=redis_url)
        first.wait_until_ready()
        second = web_process(Path(directory), REDIS_URL=redis_url)
        second.wait_until_ready()
        yield first, second
        second.stop()
        first.stop()


def test_what_one_process_found_out_the_other_knows(pair: tuple[Process, Process], upstream: Upstream) -> None:
    first, second = pair
    account = Account(first.url)
    account.call("POST", "/api/routing/policies", 201, name="spare", default=True, fallbacks=["spare"])
    scene = Scene(first.url, upstream, account, account.create_key()["key"])
    scene.add_provider(f"{scene.name}-b", models=["spare"])
    model = f"{scene.name}/{scene.model}"
    there = httpx.Client(base_url=second.url, timeout=15, trust_env=False, headers=scene.http.headers)

    def ask(http: httpx.Client) -> httpx.Response:
        return http.post("/v1/chat/completions", json=scene.body(model=model))

    def state_there() -> dict[str, Any]:
        rows = there.get("/api/routing/health", headers=account.http.headers).json()["data"]
        found: dict[str, Any] = next(row for row in rows if row["id"] == model)
        return found

    assert ask(there).headers["x-gateway-provider"] == scene.name
    scene.behave({"status": 503})
    while ask(scene.http).headers["x-gateway-attempts"] != "1":
        pass
    end = time.monotonic() + 2
    while state_there()["state"] != "open":
        assert time.monotonic() < end
    assert state_there()["reason"]
    calls = len(scene.received())
    assert ask(there).headers["x-gateway-attempts"] == "1"
    assert len(scene.received()) == calls
    scene.behave({})
    end = time.monotonic() + 10
    while ask(there).headers["x-gateway-provider"] != scene.name:
        assert time.monotonic() < end
        time.sleep(0.05)
    end = time.monotonic() + 2
    while ask(scene.http).headers["x-gateway-provider"] != scene.name:
        assert time.monotonic() < end
        time.sleep(0.05)
