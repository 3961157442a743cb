"""Two web processes share every budget: through Redis, and through Postgres while Redis is away."""

import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import COST, TOKENS, ask_at_once, price, spent_of
from tests.gateway.process import Process, supervisor, web_process
from tests.gateway.scene import Scene
from tests.redis_server import RedisServer, running_redis
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def pair(redis: RedisServer) -> Iterator[tuple[Process, Process]]:
    """The product, and one more web process on the same data."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        first = supervisor(Path(directory), REDIS_URL=redis.url)
        first.wait_until_ready()
        second = web_process(Path(directory), REDIS_URL=redis.url)
        second.wait_until_ready()
        yield first, second
        second.stop()
        first.stop()


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
    answers = ask_at_once([process.url for process in pair], key["key"], count, scene.body(max_tokens=TOKENS))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 402}, {answer.text for answer in answers if answer.status_code not in (200, 402)}
    time.sleep(1.5)
    return statuses.count(200), statuses.count(402), spent_of(scene.account, key["id"])


def test_of_two_hundred_at_once_a_budget_for_ten_serves_ten(scene: Scene, pair: tuple[Process, Process]) -> None:
    assert served(scene, pair) == (10, 190, 10 * COST)


def test_while_redis_is_away_it_serves_ten_and_after(
    scene: Scene, pair: tuple[Process, Process], redis: RedisServer
) -> None:
    redis.stop()
    assert served(scene, pair) == (10, 190, 10 * COST)
    redis.start()
    time.sleep(5)
    assert served(scene, pair) == (10, 190, 10 * COST)
