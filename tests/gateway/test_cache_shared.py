"""The cache of several processes: shared through Redis, purged everywhere, and no worse off when Redis is away."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process
from tests.gateway.scene import CHAT, Scene
from tests.redis_server import RedisServer
from tests.upstream import Upstream

SECRET = "word 0"
CACHE = "/api/routing/cache"


class Kept:
    """What the processes keep in their Redis."""

    def __init__(self, redis: RedisServer) -> None:
        self.client = redis.client()

    def answers(self) -> dict[bytes, bytes]:
        return {name: cast("bytes", self.client.get(name)) for name in self.client.scan_iter("*:cache:*")}


def wait_until(is_so: Callable[[], bool], within: float = 10) -> None:
    end = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def kept(redis: RedisServer) -> Iterator[Kept]:
    kept = Kept(redis)
    yield kept
    kept.client.close()


class Stage(Scene):
    """A scene with a client of the second process, too."""

    def __init__(self, pair: tuple[Process, Process], upstream: Upstream) -> None:
        account = Account(pair[0].url)
        super().__init__(pair[0].url, upstream, account, account.create_key()["key"])
        self.there = httpx.Client(base_url=pair[1].url, timeout=15, trust_env=False, headers=self.http.headers)
        wait_until(lambda: self.there.get("/v1/models").status_code == 200)
        wait_until(lambda: self.model in self.there.get("/v1/models").text)

    def here(self, **fields: Any) -> str:
        return self._state(self.http, fields)

    def beyond(self, **fields: Any) -> str:
        return self._state(self.there, fields)

    def _state(self, http: httpx.Client, fields: dict[str, Any]) -> str:
        response = http.post(CHAT, json=self.body(temperature=0, **fields))
        assert response.status_code == 200, response.text
        assert response.json()["choices"][0]["message"]["content"].startswith(SECRET)
        state: str = response.headers["x-gateway-cache"]
        return state

    def calls(self) -> int:
        return len(self.received())

    def purge(self, **what: str) -> int:
        purged: int = self.account.call("POST", f"{CACHE}/purge", 200, **(what or {"model": self.model}))["purged"]
        return purged


@pytest.fixture
def stage(pair: tuple[Process, Process], upstream: Upstream, kept: Kept) -> Iterator[Stage]:
    kept.client.flushall()
    stage = Stage(pair, upstream)
    yield stage
    stage.there.close()
    stage.close()
    for process in pair:  # shown when the test fails
        sys.stdout.write(process.log.read_text(errors="replace")[-3000:])


def test_what_one_process_was_answered_the_other_gives(stage: Stage) -> None:
    assert (stage.here(), stage.beyond(), stage.beyond()) == ("miss", "hit", "hit")
    assert stage.calls() == 1


def test_nobody_reads_it_in_redis(stage: Stage, kept: Kept) -> None:
    stage.here()
    wait_until(lambda: len(kept.answers()) == 1)
    [(name, value)] = kept.answers().items()
    for secret in (SECRET, stage.model, "Say something"):
        assert secret.encode() not in name + value
    assert 0 < kept.client.ttl(name) <= 3600


@pytest.mark.parametrize("fields", [{"privacy_mode": "strict"}, {"sensitivity": "confidential"}])
def test_a_strict_answer_stays_in_its_process(stage: Stage, kept: Kept, fields: dict[str, str]) -> None:
    assert (stage.here(**fields), stage.here(**fields)) == ("miss", "hit")
    assert stage.beyond(**fields) == "miss"
    assert kept.answers() == {}


@pytest.mark.parametrize(
    "spoil", [lambda value: value[: len(value) // 2], lambda value: value[:-1] + b"?", lambda _: b""]
)
def test_what_was_cut_or_changed_is_a_miss_and_counted(
    stage: Stage, kept: Kept, pair: tuple[Process, Process], spoil: Callable[[bytes], bytes]
) -> None:
    def unreadable() -> float:
        lines = httpx.get(f"{pair[1].url}/metrics", trust_env=False).text.splitlines()
        return float(next(line for line in lines if line.startswith("gateway_cache_unreadable_total ")).split()[1])

    before = unreadable()
    stage.here()
    wait_until(lambda: len(kept.answers()) == 1)
    [(name, value)] = kept.answers().items()
    kept.client.set(name, spoil(value))
    assert stage.beyond() == "miss"
    assert unreadable() == before + 1
    assert stage.beyond() == "hit"


def test_a_purge_reaches_every_process_and_redis(stage: Stage, kept: Kept) -> None:
    stage.here()
    stage.here(privacy_mode="strict")
    assert stage.beyond() == "hit"
    assert stage.purge() == 2
    assert kept.answers() == {}
    wait_until(lambda: stage.beyond() == "miss", within=2)
    assert stage.here(privacy_mode="strict") == "miss"


def test_a_purge_takes_what_it_names_and_nothing_else(stage: Stage) -> None:
    other = stage.account.create_key()
    policy = stage.account.call("POST", "/api/routing/policies", 201, name="named", models=[stage.model])
    asked: dict[str, dict[str, Any]] = {"first": {}, "policy": {"model": "policy/named"}, "seed": {"seed": 1}}
    for fields in asked.values():
        stage.here(**fields)
    mine = stage.account.call("GET", "/api/keys/gateway", 200)["data"]
    key_id = next(row["id"] for row in mine if row["id"] != other["id"])

    assert stage.purge(key=other["id"]) == stage.purge(model="another") == 0
    assert stage.purge(policy="named") == 1
    assert [stage.here(**fields) for fields in asked.values()] == ["hit", "miss", "hit"]
    assert stage.purge(policy=policy["id"], key=key_id, model=f"{stage.name}/{stage.model}") == 1
    assert stage.purge(key=key_id) == 2
    assert [stage.here(**fields) for fields in asked.values()] == ["miss"] * 3


def test_without_redis_each_process_goes_on(stage: Stage, redis: RedisServer) -> None:
    stage.here()
    redis.stop()
    try:
        assert (stage.here(), stage.beyond(seed=1), stage.beyond(seed=1)) == ("hit", "miss", "hit")
        error = stage.account.call("POST", f"{CACHE}/purge", 503)["error"]
        assert "Redis" in error["message"]
        assert stage.here() == "miss"
    finally:
        redis.start()
    wait_until(lambda: (stage.here(seed=2), stage.beyond(seed=2))[1] == "hit", within=15)
