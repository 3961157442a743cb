"""`/api/routing/cache`: what a workspace sees of its cache, and what it can take out of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.access import Caller
from accounts.models import AuditEntry
from analytics.models import DailyTotal
from keys.models import GatewayKey
from keys.services import create_key
from routing import services
from routing.cache import current
from routing.cache.purge import Purge, hear
from routing.models import Policy
from routing.policies import BUILT_IN
from tests.api_client import ApiClient
from tests.routing.test_cache_memory import answer

PATH = "/api/routing/cache"
NOT_CHECKED = {
    "hits": 0, "checked": 0, "wrong": 0, "unsure": 0, "false_hit_rate": None, "interval": None, "limit": None,
    "threshold": None,
}  # fmt: skip
PURGE = f"{PATH}/purge"


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    current.clear()
    yield
    current.clear()


@pytest.fixture
def policy(owner: Caller) -> Policy:
    return services.create_policy(owner, {"name": "frugal"})


@pytest.fixture
def key(owner: Caller) -> GatewayKey:
    return create_key(owner, {"name": "chatbot"})[0]


def hold(caller: Caller, name: str, **facts: Any) -> None:
    """Have the process hold an answer of the caller's workspace."""
    body = facts.pop("body", b"{}")
    assert current.memory.put(name.encode(), answer(body, workspace_id=str(caller.workspace.pk), **facts), 60)


def used(caller: Caller, policy: str, cache: str, requests: int, saved: str = "0") -> None:
    DailyTotal.objects.create(
        workspace=caller.workspace, day=datetime.now(UTC).date(), policy=policy, cache=cache, requests=requests,
        saved_usd=Decimal(saved), model=cache,
    )  # fmt: skip


def held() -> set[str]:
    return {key.decode() for key in current.memory.answers()}


def test_each_policy_has_its_share(api: ApiClient, owner: Caller, policy: Policy, stranger: Caller) -> None:
    hold(owner, "a", policy_id=str(policy.pk), body=b"x" * 1000)
    hold(owner, "b", policy_id=str(policy.pk))
    hold(owner, "c")
    hold(stranger, "d")
    used(owner, "frugal", "hit", 3, "0.000000000123")
    used(owner, "frugal", "miss", 1)
    used(owner, "frugal", "off", 50)
    used(owner, "former", "hit", 2)
    used(stranger, "frugal", "hit", 100)

    answered = api.get(PATH)

    assert answered.status == 200
    rows = {row["policy"]: row for row in answered.json["data"]}
    assert rows["frugal"] == {
        "policy": "frugal", "policy_id": str(policy.pk), "entries": 2, "bytes": 2 * 1024 + 1002, "hits": 3, "misses": 1,
        "hit_rate": 0.75, "saved_usd": "0.000000000123", "semantic": NOT_CHECKED,
    }  # fmt: skip
    assert (rows[BUILT_IN]["entries"], rows[BUILT_IN]["hit_rate"], rows[BUILT_IN]["policy_id"]) == (1, None, None)
    assert (rows["former"]["hits"], rows["former"]["policy_id"]) == (2, None)
    assert list(rows) == sorted(rows)
    first = api.get(PATH, limit=1).json
    assert [row["policy"] for row in api.get(PATH, limit=1, cursor=first["next_cursor"]).json["data"]] == ["former"]


def test_everything_of_the_workspace_is_purged_and_nothing_else(
    api: ApiClient, owner: Caller, stranger: Caller
) -> None:
    hold(owner, "a")
    hold(owner, "b")
    hold(stranger, "c")
    answered = api.post(PURGE)
    assert (answered.status, answered.json) == (200, {"purged": 2})
    assert held() == {"c"}
    entry = AuditEntry.objects.get(action="cache.purged")
    assert entry.workspace == owner.workspace


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ({"policy": "frugal"}, {"key", "model", "plain"}),
        ({"policy": BUILT_IN}, {"policy"}),
        ({"key": "KEY"}, {"policy", "model", "plain"}),
        ({"model": "gpt"}, {"policy", "key", "plain"}),
        ({"model": "house/gpt"}, {"policy", "key", "plain"}),
        ({"model": "asked-for"}, {"policy", "key", "plain"}),
        ({"model": "gpt", "key": "KEY"}, {"policy", "key", "model", "plain"}),
    ],
)
def test_what_is_named_is_purged(
    api: ApiClient, owner: Caller, policy: Policy, key: GatewayKey, named: dict[str, str], left: set[str]
) -> None:
    hold(owner, "policy", policy_id=str(policy.pk))
    hold(owner, "key", key_id=str(key.pk))
    hold(owner, "model", model="gpt", requested_model="asked-for")
    hold(owner, "plain")
    named = {name: str(key.pk) if value == "KEY" else value for name, value in named.items()}
    assert api.post(PURGE, named).json == {"purged": 4 - len(left)}
    assert held() == left


@pytest.mark.parametrize(
    ("named", "status", "param"),
    [
        ({"policy": "unknown"}, 400, "policy"),
        ({"policy": ""}, 400, "policy"),
        ({"model": "x" * 421}, 400, "model"),
        ({"models": "gpt"}, 400, "models"),
        ({"key": "unknown"}, 404, "key"),
        ({"key": 7}, 400, "key"),
    ],
)
def test_what_is_wrong_is_refused(
    api: ApiClient, owner: Caller, named: dict[str, Any], status: int, param: str | None
) -> None:
    hold(owner, "a")
    answered = api.post(PURGE, named)
    assert answered.status == status, answered.json
    assert answered.json["error"]["param"] == param
    assert held() == {"a"}


def test_whose_key_it_is_not_finds_none(owner: Caller, stranger: Caller, key: GatewayKey, policy: Policy) -> None:
    hold(owner, "a", key_id=str(key.pk), policy_id=str(policy.pk))
    theirs = ApiClient.of(stranger)
    assert theirs.post(PURGE, key=str(key.pk)).status == 404
    assert theirs.post(PURGE, policy=str(policy.pk)).status == 400
    assert theirs.post(PURGE).json == {"purged": 0}
    assert [row["entries"] for row in theirs.get(PATH).json["data"]] == [0]
    assert held() == {"a"}


def test_who_may_look_and_who_may_purge(
    owner: Caller, admin: Caller, member: Caller, viewer: Caller, anonymous: ApiClient
) -> None:
    hold(owner, "a")
    assert ApiClient.of(viewer).get(PATH).status == 200
    assert [ApiClient.of(each).post(PURGE).status for each in (viewer, member, admin)] == [403, 403, 200]
    assert anonymous.get(PATH).status == anonymous.post(PURGE).status == 401
    assert ApiClient.of(owner).delete(PATH).status == ApiClient.of(owner).get(PURGE).status == 405


def test_what_other_processes_purge_is_forgotten_here(owner: Caller, stranger: Caller) -> None:
    for name in "ab":
        hold(owner, name, model=name)
    hold(stranger, "c")
    hear({Purge(str(owner.workspace.pk), model="a").to_text()})
    assert held() == {"b", "c"}
    hear({"words of another version"})
    assert held() == set()
