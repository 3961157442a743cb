"""Budgets over HTTP: what does not fit is refused before anything is spent, however many ask at once."""

import time
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import COST, TOKENS, Payer, ask, ask_at_once, price, spent_by, spent_of, wait_for_budget
from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.scene import Scene

# --- Exactly the budget --------------------------------------------------------------------------


def test_of_two_hundred_at_once_a_budget_for_ten_serves_ten(priced: Scene, gateway: Process, payer: Payer) -> None:
    priced.behave({"chunks": TOKENS, "delay": 0.2})
    key = payer(budget_usd=str(10 * COST), budget_period="day")
    answers = ask_at_once([gateway.url], key["key"], 200, priced.body(max_tokens=TOKENS))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(402)) == (10, 190), set(statuses)
    assert len(priced.received()) == 10
    spent_by(priced, key, 10 * COST)
    assert spent_of(priced.account, key["id"]) == 10 * COST


def test_one_after_the_other_ten_are_served_too(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(10 * COST))
    assert [ask(priced, key, stream=bool(turn % 2)).status_code for turn in range(12)] == [200] * 10 + [402] * 2


def test_what_an_answer_did_not_use_is_free_again(priced: Scene, payer: Payer) -> None:
    priced.behave({"chunks": 1})
    key = payer(budget_usd=str(COST))
    # Each reserves ten tokens, and takes one.
    assert [ask(priced, key).status_code for _ in range(3)] == [
        402 if COST / 10 * turn > 0 else 200 for turn in range(3)
    ]
    assert ask(priced, key, max_tokens=9).status_code == 200


def test_the_refusal_says_whose_budget_it_is_and_how_it_stands(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(COST), budget_period="month")
    assert ask(priced, key).status_code == 200
    refused = ask(priced, key)
    assert refused.status_code == 402
    error = refused.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("budget_exceeded", "insufficient_quota", None)
    assert f"the monthly budget of the gateway key '{key['name']}'" in error["message"]
    for told in (f"of ${COST}", f"${COST} is spent", "$0 reserved", "It renews at 20"):
        assert told in error["message"]
    budget = error["budget"]
    assert (budget["scope"], budget["limit_usd"], budget["spent_usd"]) == ("key", str(COST), str(COST))
    assert budget["renews_at"].endswith("-01T00:00:00Z")
    record = priced.record(refused)
    assert (record["status"], record["error_code"], record["cost_usd"]) == (402, "budget_exceeded", "0")
    assert "not asked: it may cost" in record["attempts"][0]["error"]
    [row] = [row for row in priced.account.requests() if row["id"] == record["id"]]
    assert str(row["attempts"]) == refused.headers["x-gateway-attempts"] == "0"


def test_a_request_without_max_tokens_is_told_that_it_could_say_one(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(COST))
    refused = ask(priced, key, max_tokens=None)
    assert refused.status_code == 402
    assert "max_tokens" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "fields", [{"n": 2}, {"max_completion_tokens": TOKENS + 1}, {"n": 2, "max_tokens": 5, "best_of": 3}]
)
def test_whatever_makes_an_answer_longer_is_reserved(priced: Scene, payer: Payer, fields: dict[str, Any]) -> None:
    key = payer(budget_usd=str(COST))
    assert ask(priced, key, **fields).status_code == 402
    assert not priced.received()


# --- What is released ----------------------------------------------------------------------------


def test_a_failed_request_gives_its_reservation_back(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(COST))
    priced.behave({"status": 400, "body": '{"error": {"message": "no"}}'}, {"chunks": TOKENS})
    assert ask(priced, key).status_code == 400
    assert ask(priced, key).status_code == 200


def test_a_retry_fits_where_the_first_try_was_not_billed(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(COST))
    priced.behave({"status": 500}, {"chunks": TOKENS})
    response = ask(priced, key)
    assert (response.status_code, response.headers["x-gateway-attempts"]) == (200, "2")


def test_a_retry_of_what_may_be_billed_is_reserved_besides(priced: Scene, payer: Payer) -> None:
    priced.behave({"drop": "after_headers"}, {"chunks": TOKENS})
    key = payer(budget_usd=str(COST))
    refused = ask(priced, key)
    assert refused.status_code == 503
    assert "it was not asked again, as it may cost $0.0003, which does not fit" in refused.json()["error"]["message"]
    priced.behave({"drop": "after_headers"}, {"chunks": TOKENS})
    assert ask(priced, payer(budget_usd=str(2 * COST))).status_code == 200


def test_a_client_that_leaves_gives_back_what_was_not_used(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(COST))
    priced.behave({"delay": 5.0}, {"chunks": TOKENS})
    time.sleep(0.3)  # until the gateway has heard of the key
    with pytest.raises(httpx.TimeoutException):
        priced.http.post(
            "/v1/chat/completions",
            json=priced.body(max_tokens=TOKENS),
            headers={"authorization": f"Bearer {key['key']}"},
            timeout=0.7,
        )
    priced.upstream.wait_until_left(within=2, scene=priced.name, model=priced.model)
    time.sleep(0.2)
    assert ask(priced, key).status_code == 200


# --- Which targets -------------------------------------------------------------------------------


def test_a_named_model_is_never_substituted(priced: Scene, payer: Payer) -> None:
    spare = f"{priced.name}-spare"
    priced.add_provider(spare, models=["spare-model"])
    name = f"fallback-{priced.name}"
    policy = priced.account.call("POST", "/api/routing/policies", 201, name=name, fallbacks=[f"{spare}/spare-model"])
    key = payer(budget_usd=str(COST / 2), policy=name)
    assert ask(priced, key).status_code == 402
    assert not priced.received(spare)
    # For one that fails it is asked, as it costs nothing.
    priced.account.call("PATCH", f"/api/keys/gateway/{key['id']}", 200, budget_usd=str(COST))
    priced.behave({"status": 503})
    end = time.monotonic() + 5
    while (response := ask(priced, key)).status_code == 402 and time.monotonic() < end:
        time.sleep(0.05)
    assert (response.status_code, response.headers["x-gateway-provider"]) == (200, spare)
    priced.account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)
    priced.account.call("DELETE", f"/api/routing/policies/{policy['id']}", 204)


def test_where_the_gateway_chooses_a_cheaper_one_is_asked_and_the_free_one_stays(
    make_scene: MakeScene, payer: Payer
) -> None:
    scene = make_scene()
    names = {"dear": scene.name, "cheap": f"{scene.name}-cheap", "free": f"{scene.name}-free"}
    for name in ("cheap", "free"):
        scene.add_provider(names[name], models=[f"{scene.model}-{name}"])
    models = {"dear": scene.model, "cheap": f"{scene.model}-cheap", "free": f"{scene.model}-free"}
    for name, usd, quality in (("dear", "100", 0.99), ("cheap", "10", 0.9), ("free", "0", 0.8)):
        scene.account.call(
            "PATCH", f"/api/routing/models/{names[name]}/{models[name]}", 200,
            input_usd_per_mtok="0", output_usd_per_mtok=usd, quality=quality,
        )  # fmt: skip
        scene.upstream.behave(models[name], {"chunks": TOKENS}, scene=names[name])
    policy = scene.account.call(
        "POST", "/api/routing/policies", 201, name=f"best-{scene.name}",
        models=[f"{names[name]}/{models[name]}" for name in names], weights={"quality": 1, "cost": 0, "speed": 0},
    )  # fmt: skip
    # Enough for one of the dear, then for five of the cheap.
    key = payer(budget_usd="0.0015", policy=policy["name"])
    asked = [ask(scene, key, model="auto").headers["x-gateway-provider"] for _ in range(8)]
    assert asked == [names["dear"]] + [names["cheap"]] * 5 + [names["free"]] * 2
    last = ask(scene, key, model="auto")
    assert last.headers["x-gateway-attempts"] == "1"
    record = scene.record(last)
    assert [line["status"] for line in record["attempts"]] == [None, None, 200]
    assert "does not fit in the total budget" in record["attempts"][0]["error"]
    scene.account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)
    scene.account.call("DELETE", f"/api/routing/policies/{policy['id']}", 204)


def test_a_budget_of_nothing_leaves_what_costs_nothing(scene: Scene, priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd="0")
    assert ask(scene, key).status_code == 200
    assert ask(priced, key).status_code == 402


# --- Whose budgets -------------------------------------------------------------------------------


def test_the_budgets_of_the_member_and_of_the_workspace_hold_for_each_key(
    gateway: Process, make_scene: MakeScene
) -> None:
    spender = Account(gateway.url, "spender")
    key = spender.create_key(budget_usd="1")
    scene = Scene(gateway.url, make_scene().upstream, spender, key["key"])
    price(scene)
    scene.behave({"chunks": TOKENS})
    other = spender.create_key()
    here = f"/api/workspaces/{spender.workspace['id']}"
    (member,) = spender.call("GET", f"{here}/members", 200)["data"]
    spender.call("PATCH", f"{here}/members/{member['id']}", 200, budget_usd=str(3 * COST))
    wait_for_budget(scene, other, 3)
    refused = ask(scene, other)
    assert refused.json()["error"]["budget"]["scope"] == "user"
    spender.call("PATCH", f"{here}/members/{member['id']}", 200, budget_usd=None)
    spender.call("PATCH", here, 200, budget_usd=str(4 * COST), budget_period="week")
    wait_for_budget(scene, key, 1)
    refused = ask(scene, key)
    assert refused.json()["error"]["budget"]["scope"] == "workspace"
    assert spender.workspace["name"] in refused.json()["error"]["message"]
    scene.close()


def test_what_was_spent_while_there_was_no_budget_counts_for_the_next_one(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(10 * COST), budget_period="total")
    path = f"/api/keys/gateway/{key['id']}"
    assert [ask(priced, key).status_code for _ in range(2)] == [200] * 2
    priced.account.call("PATCH", path, 200, budget_usd=None, budget_period=None)
    assert [ask(priced, key).status_code for _ in range(3)] == [200] * 3
    priced.account.call("PATCH", path, 200, budget_usd=str(6 * COST), budget_period="total")
    assert [ask(priced, key).status_code for _ in range(3)] == [200, 402, 402]
