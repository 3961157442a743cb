"""A late answer is raced by a second target where the policy says so; the loser is dropped, and both are billed."""

import itertools
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import COST, TOKENS, price
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene, payloads_of

_numbers = itertools.count(1)

# More than it takes to know how late is late.
WARM = 25
LATE = {"delay": 5.0}
# Prices are public for these, and differ.
FIRST_MODEL, SECOND_MODEL = "gpt-4o", "gpt-4o-mini"


class Race:
    """A provider whose model is asked first, a second one, and a key whose policy is `policy`."""

    def __init__(self, make_scene: MakeScene, account: Account, **policy: Any) -> None:
        number = next(_numbers)
        self.account = account
        self.second = f"race-{number}-b"
        self.policy = account.call(
            "POST", "/api/routing/policies", 201, name=f"race-{number}", fallbacks=[f"{self.second}/{SECOND_MODEL}"],
            **policy,
        )  # fmt: skip
        self.keys: list[dict[str, Any]] = []
        self.scene: Scene = make_scene(key=self.add_key(), kind="openai", models=[FIRST_MODEL])
        self.scene.model = FIRST_MODEL
        self.scene.add_provider(self.second, kind="openai", models=[SECOND_MODEL])
        self.model = f"{self.scene.name}/{FIRST_MODEL}"

    def add_key(self, **fields: Any) -> str:
        """The secret of a new key with the race's policy."""
        self.keys.append(self.account.create_key(policy=self.policy["name"], **fields))
        secret: str = self.keys[-1]["key"]
        return secret

    def warm_up(self, *, stream: bool = False) -> None:
        for _ in range(WARM):
            assert self.scene.post(model=self.model, stream=stream).status_code == 200

    def late(self, behaviour: dict[str, Any] = LATE) -> None:
        self.scene.behave(behaviour, {})

    def close(self) -> None:
        for key in self.keys:
            self.account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)
        self.account.call("DELETE", f"/api/routing/policies/{self.policy['id']}", 204)


def sum_of_lines(record: dict[str, Any]) -> Decimal:
    return sum((Decimal(line["cost_usd"]) for line in record["cost_lines"]), Decimal(0))


@pytest.fixture
def race(make_scene: MakeScene, account: Account) -> Iterator[Race]:
    race = Race(make_scene, account, hedge=True)
    yield race
    race.close()


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_target_answers_and_the_first_is_dropped_and_billed(race: Race, stream: bool) -> None:
    race.warm_up(stream=stream)
    race.late()
    started = time.monotonic()
    response = race.scene.post(model=race.model, stream=stream)
    assert time.monotonic() - started < LATE["delay"]
    assert response.status_code == 200
    assert response.headers["x-gateway-provider"] == race.second
    assert response.headers["x-gateway-attempts"] == "2"
    if stream:
        assert payloads_of(response.content)[-1] == "[DONE]"
    race.scene.upstream.wait_until_left(within=1, scene=race.scene.name, model=FIRST_MODEL)
    record = race.scene.record(response)
    lost, won = record["attempts"]
    assert (lost["provider"], won["provider"]) == (race.scene.name, race.second)
    assert "answered first" in lost["error"]
    assert lost["prompt_tokens"] > 0
    assert lost["completion_tokens"] == 0
    assert Decimal(lost["cost_usd"]) > 0
    assert sum_of_lines(record) == Decimal(record["cost_usd"]) > Decimal(lost["cost_usd"])
    if not stream:
        assert Decimal(response.headers["x-gateway-cost-usd"]) == Decimal(record["cost_usd"])


def test_the_first_may_still_win(race: Race) -> None:
    race.warm_up()
    race.late({"delay": 0.4})
    race.scene.upstream.behave(SECOND_MODEL, LATE, scene=race.second)
    response = race.scene.post(model=race.model)
    assert response.headers["x-gateway-provider"] == race.scene.name
    race.scene.upstream.wait_until_left(within=1, scene=race.second, model=SECOND_MODEL)
    won, lost = race.scene.record(response)["attempts"]
    assert won["status"] == 200
    assert Decimal(lost["cost_usd"]) > 0


def test_one_that_fails_late_leaves_it_to_the_other(race: Race) -> None:
    race.warm_up()
    race.late({"delay": 0.3, "status": 500})
    race.scene.upstream.behave(SECOND_MODEL, {"delay": 0.6}, scene=race.second)
    response = race.scene.post(model=race.model)
    assert response.headers["x-gateway-provider"] == race.second
    failed, _ = race.scene.record(response)["attempts"]
    assert (failed["status"], failed.get("cost_usd")) == (500, None)


def test_both_that_fail_are_told_of(race: Race) -> None:
    race.warm_up()
    race.scene.behave({"delay": 0.3, "status": 500})
    race.scene.upstream.behave(SECOND_MODEL, {"delay": 0.3, "status": 502}, scene=race.second)
    error = race.scene.post(model=race.model).json()["error"]
    assert {500, 502} == {attempt["status"] for attempt in error["attempts"]}


def test_a_clients_fault_ends_the_race(race: Race) -> None:
    race.warm_up()
    race.late({"delay": 0.3, "status": 400})
    race.scene.upstream.behave(SECOND_MODEL, LATE, scene=race.second)
    started = time.monotonic()
    assert race.scene.post(model=race.model).status_code == 400
    assert time.monotonic() - started < LATE["delay"]


def test_a_client_that_leaves_stops_both(race: Race) -> None:
    race.warm_up()
    race.scene.behave(LATE)
    race.scene.upstream.behave(SECOND_MODEL, LATE, scene=race.second)
    with pytest.raises(Exception, match="timed out"):
        race.scene.http.post("/v1/chat/completions", json=race.scene.body(model=race.model), timeout=1)
    race.scene.upstream.wait_until_left(within=1, scene=race.scene.name, model=FIRST_MODEL)
    race.scene.upstream.wait_until_left(within=1, scene=race.second, model=SECOND_MODEL)
    end = time.monotonic() + 5
    while (row := race.account.requests(limit=1)[0])["status"] != 499:
        assert time.monotonic() < end
        time.sleep(0.05)
    record = race.account.record(row["id"])
    first, second = record["attempts"]
    assert record["provider"] == second["provider"] == race.second
    assert sum_of_lines(record) == Decimal(record["cost_usd"]) > Decimal(first["cost_usd"]) > 0


def test_nothing_is_raced_before_it_is_known_what_late_is(race: Race) -> None:
    race.late({"delay": 0.5})
    response = race.scene.post(model=race.model)
    assert (response.headers["x-gateway-attempts"], response.headers["x-gateway-provider"]) == ("1", race.scene.name)


def test_nothing_is_raced_that_does_not_fit_in_a_budget_besides(race: Race) -> None:
    price(race.scene, model=FIRST_MODEL)
    price(race.scene, race.second, model=SECOND_MODEL)
    race.warm_up()
    race.scene.behave({"delay": 0.5})
    tight, roomy = (race.add_key(budget_usd=str(budget)) for budget in (COST * 3 / 2, COST * 2))
    time.sleep(0.3)  # until the gateway has heard of them

    def ask(key: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        return race.scene.post(model=race.model, max_tokens=TOKENS, headers=headers)

    response = ask(tight)
    assert (response.headers["x-gateway-attempts"], response.headers["x-gateway-provider"]) == ("1", race.scene.name)
    assert not race.scene.upstream.requests(scene=race.second, model=SECOND_MODEL)
    taken, not_asked = race.scene.record(response)["attempts"]
    assert (taken["status"], not_asked["provider"]) == (200, race.second)
    assert not_asked["error"].startswith("not asked: it may cost")
    response = ask(roomy)
    assert (response.headers["x-gateway-attempts"], response.headers["x-gateway-provider"]) == ("2", race.second)


def test_a_strict_request_is_not_raced_by_the_cloud(race: Race, make_scene: MakeScene) -> None:
    """Its own targets are local; whatever the policy, nobody else is asked."""
    local = f"{race.scene.name}-local"
    race.scene.add_provider(local, models=["m"], kind="openai_compatible")
    model = f"{local}/m"
    for _ in range(WARM):
        race.scene.post(model=model, privacy_mode="strict")
    race.scene.upstream.behave("m", {"delay": 0.8}, {}, scene=local)
    before = len(race.scene.upstream.requests(scene=race.second))
    response = race.scene.post(model=model, privacy_mode="strict")
    assert (response.headers["x-gateway-provider"], response.headers["x-gateway-attempts"]) == (local, "1")
    assert len(race.scene.upstream.requests(scene=race.second)) == before


def test_without_the_policys_word_nothing_is_raced(make_scene: MakeScene, account: Account) -> None:
    race = Race(make_scene, account, hedge=False)
    race.warm_up()
    race.late({"delay": 0.5})
    response = race.scene.post(model=race.model)
    assert (response.headers["x-gateway-attempts"], response.headers["x-gateway-provider"]) == ("1", race.scene.name)
    race.close()
