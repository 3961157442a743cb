"""A gateway, an upstream and a workspace for the whole run; a provider of its own for each test."""

import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import TOKENS, Payer, price
from tests.gateway.process import SERVER, Process, supervisor, web_process
from tests.gateway.scene import Scene
from tests.redis_server import RedisServer, running_redis
from tests.upstream import Upstream

MakeScene = Callable[..., Scene]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs several processes comes last: they are there for these tests alone."""
    items.sort(key=lambda item: item.path.stem.endswith("_shared"))


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="session")
def gateway() -> Iterator[Process]:
    """The product, started as its operator starts it."""
    # A short path: a Unix socket's is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        process = supervisor(Path(directory), SERVER=SERVER)
        process.wait_until_ready()
        yield process
        process.stop()


@pytest.fixture(autouse=True)
def gateway_log(gateway: Process) -> Iterator[None]:
    """What the gateway logged during a test is shown when the test fails."""
    with gateway.log.open(errors="replace") as log:
        log.seek(0, os.SEEK_END)
        yield
        sys.stdout.write(log.read()[-1500:])


@pytest.fixture(scope="session")
def impatient(gateway: Process) -> Iterator[Process]:
    """A second web process on the same data, whose timeouts are tenths of a second."""
    process = web_process(gateway.data_dir, DJANGO_SETTINGS_MODULE="tests.gateway.impatient_settings")
    process.wait_until_ready()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def pair(redis: RedisServer) -> Iterator[tuple[Process, Process]]:
    """Another product, which has a Redis, and one more web process on the same data."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        first = supervisor(Path(directory), REDIS_URL=redis.url)
        first.wait_until_ready()
        second = web_process(Path(directory), REDIS_URL=redis.url)
        second.wait_until_ready()
        yield first, second
        second.stop()
        first.stop()


@pytest.fixture(scope="session")
def account(gateway: Process) -> Account:
    return Account(gateway.url)


@pytest.fixture(scope="session")
def other_account(gateway: Process, account: Account) -> Account:
    """Somebody else, with a workspace of their own."""
    return Account(gateway.url, "neighbour")


@pytest.fixture(scope="session")
def key(account: Account) -> str:
    secret: str = account.create_key()["key"]
    return secret


@pytest.fixture
def make_scene(gateway: Process, upstream: Upstream, account: Account, key: str) -> Iterator[MakeScene]:
    """`make_scene(kind="vllm", …)`: fields are the provider's. It is removed when the test ends."""
    made: list[Scene] = []

    def make(**fields: Any) -> Scene:
        scene = Scene(fields.pop("url", gateway.url), upstream, account, fields.pop("key", key), **fields)
        made.append(scene)
        return scene

    yield make
    for scene in made:
        scene.close()


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    return make_scene()


@pytest.fixture
def payer(account: Account) -> Iterator[Payer]:
    """`payer(budget_usd="1")`: a key with a budget."""
    numbers = itertools.count(1)
    made: list[dict[str, Any]] = []

    def make(**fields: Any) -> dict[str, Any]:
        made.append(account.create_key(name=f"payer-{next(numbers)}", **fields))
        return made[-1]

    yield make
    for key in made:
        account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)


@pytest.fixture
def priced(make_scene: MakeScene) -> Scene:
    """A model whose answers cost COST each when `max_tokens` is TOKENS."""
    scene = make_scene()
    price(scene)
    scene.behave({"chunks": TOKENS})
    return scene
