"""Two web processes with a Redis between them: what one has found out about a target, the other does not find out."""

import time
from typing import Any

import httpx

from tests.gateway.account import Account
from tests.gateway.process import Process
from tests.gateway.scene import Scene
from tests.upstream import Upstream


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
    # News may be lost, to a process that finds Redis again just now say; the next failed try brings others.
    end = time.monotonic() + 20
    while state_there()["state"] != "open":
        assert time.monotonic() < end
        time.sleep(0.1)
        ask(scene.http)
    assert state_there()["reason"]

    def spared() -> bool:
        calls = len(scene.received())
        return ask(there).headers["x-gateway-attempts"] == "1" and len(scene.received()) == calls

    # On a busy machine its pause may be over by now, and it is tried; each try that fails makes the pause longer.
    assert spared() or spared() or spared()
    scene.behave({})
    end = time.monotonic() + 10
    while ask(there).headers["x-gateway-provider"] != scene.name:
        assert time.monotonic() < end
        time.sleep(0.05)
    end = time.monotonic() + 5
    while ask(scene.http).headers["x-gateway-provider"] != scene.name:
        assert time.monotonic() < end
        time.sleep(0.05)
