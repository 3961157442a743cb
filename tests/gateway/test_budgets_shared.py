"""Two web processes share every budget: through Redis, and through Postgres while Redis is away."""

import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import COST, TOKENS, ask_at_once, price, spent_of
from tests.gateway.process import Process, web_process
from tests.gateway.scene import CHAT, Scene
from tests.gateway.short_lease_settings import BUDGETS_LEASE
from tests.redis_server import RedisServer
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def scene(pair: tuple[Process, Process], upstream: Upstream) -> Iterator[Scene]:
    account = Account(pair[0].url, "sharer")
    scene = Scene(pair[0].url, upstream, account, account.create_key()["key"])
    price(scene)
    scene.behave({"chunks": TOKENS, "delay": 0.2})
    yield scene
    scene.close()


def served(scene: Scene, pair: tuple[Process, Process], count: int = 200) -> tuple[int, int, Decimal]:
    """How many of `count` requests at once a budget for ten serves and refuses, and what the ledger says they cost."""
    key = scene.account.create_key(budget_usd=str(10 * COST), budget_period="month")
    for process in pair:  # a busy one hears of the key a moment later
        end = time.monotonic() + 10
        headers = {"authorization": f"Bearer {key['key']}"}
        while httpx.get(f"{process.url}/v1/models", headers=headers, trust_env=False).status_code == 401:
            assert time.monotonic() < end
            time.sleep(0.05)
    answers = ask_at_once([process.url for process in pair], key["key"], count, scene.body(max_tokens=TOKENS))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 402}, {answer.text for answer in answers if answer.status_code not in (200, 402)}
    time.sleep(1.5)
    return statuses.count(200), statuses.count(402), spent_of(scene.account, key["id"])


@pytest.fixture
def mortals(pair: tuple[Process, Process], redis: RedisServer) -> Iterator[tuple[Process, Process]]:
    """Two more web processes on the same data, which are quick to believe that another one is dead."""
    settings = {"REDIS_URL": redis.url, "DJANGO_SETTINGS_MODULE": "tests.gateway.short_lease_settings"}
    made = [web_process(pair[0].data_dir, **settings) for _ in range(2)]
    for process in made:
        process.wait_until_ready()
    yield made[0], made[1]
    for process in made:
        process.stop()


def test_of_two_hundred_at_once_a_budget_for_ten_serves_ten(scene: Scene, pair: tuple[Process, Process]) -> None:
    assert served(scene, pair) == (10, 190, 10 * COST)


def test_what_a_killed_process_had_reserved_is_free_when_its_lease_ends(
    scene: Scene, mortals: tuple[Process, Process], upstream: Upstream
) -> None:
    killed, survivor = mortals
    scene.behave({"chunks": TOKENS, "interval": 2.0}, {"chunks": TOKENS, "delay": 0.2})
    headers = {"authorization": f"Bearer {scene.account.create_key(budget_usd=str(COST))['key']}"}
    body = scene.body(max_tokens=TOKENS)
    time.sleep(0.3)  # until both have heard of the key
    with httpx.Client(trust_env=False, timeout=15, headers=headers) as http:
        with http.stream("POST", killed.url + CHAT, json={**body, "stream": True}) as held:
            assert held.status_code == 200
            assert http.post(survivor.url + CHAT, json=body).status_code == 402
            os.killpg(killed.process.pid, signal.SIGKILL)
            died = time.monotonic()
        statuses: list[int] = []
        while not statuses or statuses[-1] != 200:
            statuses.append(http.post(survivor.url + CHAT, json=body).status_code)
            assert time.monotonic() - died < BUDGETS_LEASE + 3, statuses
            time.sleep(0.1)
    assert time.monotonic() - died > BUDGETS_LEASE - 1, "it might have lived"
    assert set(statuses) == {402, 200}


def test_while_redis_is_away_it_serves_ten_and_after(
    scene: Scene, pair: tuple[Process, Process], redis: RedisServer
) -> None:
    redis.stop()
    assert served(scene, pair) == (10, 190, 10 * COST)
    redis.start()
    time.sleep(5)
    assert served(scene, pair) == (10, 190, 10 * COST)
