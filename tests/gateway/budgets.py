"""A priced model, keys with budgets, and many requests at once: what the tests of budgets share."""

import concurrent.futures
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx

from tests.gateway.account import Account
from tests.gateway.scene import CHAT, Scene

# `payer(budget_usd="1")`: a key with a budget.
Payer = Callable[..., dict[str, Any]]

# USD per million tokens of output; input is free, so that a bound is what an answer of `max_tokens` costs.
OUTPUT = 30
TOKENS = 10
COST = Decimal(OUTPUT) * TOKENS / 10**6


def price(scene: Scene, provider: str = "", *, into: str = "0", out: str = str(OUTPUT), model: str = "") -> None:
    """Set what a model of the scene costs."""
    name, model = provider or scene.name, model or scene.model
    scene.account.call(
        "PATCH", f"/api/routing/models/{name}/{model}", 200, input_usd_per_mtok=into, output_usd_per_mtok=out
    )


def ask_at_once(urls: list[str], key: str, count: int, body: dict[str, Any]) -> list[httpx.Response]:
    """The answers to `count` requests that are sent at the same time, to each address in turn."""

    def ask(number: int) -> httpx.Response:
        with httpx.Client(base_url=urls[number % len(urls)], timeout=60, trust_env=False) as http:
            return http.post(CHAT, json=body, headers={"authorization": f"Bearer {key}"})

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def spent_of(account: Account, key_id: str) -> Decimal:
    """What the ledger's records of a key come to."""
    rows = account.requests(key=key_id, limit=500)
    return sum((Decimal(row["cost_usd"]) for row in rows), Decimal(0))


def ask(scene: Scene, key: dict[str, Any], **fields: Any) -> httpx.Response:
    """One request of `key`, which the gateway may have heard of only just now."""
    end = time.monotonic() + 5
    while True:
        response = scene.http.post(
            CHAT,
            json=scene.body(**{"max_tokens": TOKENS, **fields}),
            headers={"authorization": f"Bearer {key['key']}"},
        )
        if response.status_code != 401 or time.monotonic() > end:
            return response
        time.sleep(0.02)


def spent_by(scene: Scene, key: dict[str, Any], expected: Decimal, within: float = 5) -> None:
    """Returns when the API says that `key` has spent that."""
    end = time.monotonic() + within
    while True:
        rows = scene.account.call("GET", "/api/keys/gateway", 200)["data"]
        (shown,) = [row["spent_usd"] for row in rows if row["id"] == key["id"]]
        if Decimal(shown) == expected:
            return
        assert time.monotonic() < end, f"{shown}, not {expected}"
        time.sleep(0.1)


def wait_for_budget(scene: Scene, key: dict[str, Any], served: int) -> None:
    """Returns when `served` requests of a cost of COST each have been served, and one more is refused."""
    end = time.monotonic() + 10
    found = 0
    while found < served:
        assert time.monotonic() < end
        found += ask(scene, key).status_code == 200
    while ask(scene, key).status_code != 402:
        raise AssertionError("more was served than fits")
