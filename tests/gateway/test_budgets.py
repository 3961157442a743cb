"""Budgets over HTTP: what does not fit is refused before anything is spent, however many ask at once."""

import itertools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import COST, TOKENS, ask_at_once, price, spent_of
from tests.gateway.conftest import MakeScene
from tests.gateway.process import SERVER, Process, supervisor
from tests.gateway.scene import Scene
from tests.upstream import Upstream

_numbers = itertools.count(1)


@pytest.fixture
def payer(account: Account) -> Iterator[Callable[..., dict[str, Any]]]:
    """`payer(budget_usd="1")`: a key with a budget."""
    made: list[dict[str, Any]] = []

    def make(**fields: Any) -> dict[str, Any]:
        made.append(account.create_key(name=f"payer-{next(_numbers)}", **fields))
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


def ask(scene: Scene, key: dict[str, Any], **fields: Any) -> httpx.Response:
    """One request of `key`, which the gateway may have heard of only just now."""
    end = time.monotonic() + 5
    while True:
        response = scene.http.post(
            "/v1/chat/completions",
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


# --- Exactly the budget --------------------------------------------------------------------------


def test_of_two_hundred_at_once_a_budget_for_ten_serves_ten(
    priced: Scene, gateway: Process, payer: Callable[..., dict[str, Any]]
) -> None:
    priced.behave({"chunks": TOKENS, "delay": 0.2})
    key = payer(budget_usd=str(10 * COST), budget_period="day")
    answers = ask_at_once([gateway.url], key["key"], 200, priced.body(max_tokens=TOKENS))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(402)) == (10, 190), set(statuses)
    assert len(priced.received()) == 10
    spent_by(priced, key, 10 * COST)
    assert spent_of(priced.account, key["id"]) == 10 * COST


def test_one_after_the_other_ten_are_served_too(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    key = payer(budget_usd=str(10 * COST))
    assert [ask(priced, key, stream=bool(turn % 2)).status_code for turn in range(12)] == [200] * 10 + [402] * 2


def test_what_an_answer_did_not_use_is_free_again(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    priced.behave({"chunks": 1})
    key = payer(budget_usd=str(COST))
    # Each reserves ten tokens, and takes one.
    assert [ask(priced, key).status_code for _ in range(3)] == [
        402 if COST / 10 * turn > 0 else 200 for turn in range(3)
    ]
    assert ask(priced, key, max_tokens=9).status_code == 200


def test_the_refusal_says_whose_budget_it_is_and_how_it_stands(
    priced: Scene, payer: Callable[..., dict[str, Any]]
) -> None:
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


def test_a_request_without_max_tokens_is_told_that_it_could_say_one(
    priced: Scene, payer: Callable[..., dict[str, Any]]
) -> None:
    key = payer(budget_usd=str(COST))
    refused = ask(priced, key, max_tokens=None)
    assert refused.status_code == 402
    assert "max_tokens" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "fields", [{"n": 2}, {"max_completion_tokens": TOKENS + 1}, {"n": 2, "max_tokens": 5, "best_of": 3}]
)
def test_whatever_makes_an_answer_longer_is_reserved(
    priced: Scene, payer: Callable[..., dict[str, Any]], fields: dict[str, Any]
) -> None:
    key = payer(budget_usd=str(COST))
    assert ask(priced, key, **fields).status_code == 402
    assert not priced.received()


# --- What is released ----------------------------------------------------------------------------


def test_a_failed_request_gives_its_reservation_back(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    key = payer(budget_usd=str(COST))
    priced.behave({"status": 400, "body": '{"error": {"message": "no"}}'}, {"chunks": TOKENS})
    assert ask(priced, key).status_code == 400
    assert ask(priced, key).status_code == 200


def test_a_retry_fits_where_the_first_try_was_not_billed(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    key = payer(budget_usd=str(COST))
    priced.behave({"status": 500}, {"chunks": TOKENS})
    response = ask(priced, key)
    assert (response.status_code, response.headers["x-gateway-attempts"]) == (200, "2")


def test_a_retry_of_what_may_be_billed_is_reserved_besides(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    priced.behave({"drop": "after_headers"}, {"chunks": TOKENS})
    key = payer(budget_usd=str(COST))
    refused = ask(priced, key)
    assert refused.status_code == 503
    assert "it was not asked again, as it may cost $0.0003, which does not fit" in refused.json()["error"]["message"]
    priced.behave({"drop": "after_headers"}, {"chunks": TOKENS})
    assert ask(priced, payer(budget_usd=str(2 * COST))).status_code == 200


def test_a_client_that_leaves_gives_back_what_was_not_used(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
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


def test_a_named_model_is_never_substituted(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    spare = f"{priced.name}-spare"
    priced.add_provider(spare, models=["spare-model"])
    name = f"fallback-{next(_numbers)}"
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
    make_scene: MakeScene, payer: Callable[..., dict[str, Any]]
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
        "POST", "/api/routing/policies", 201, name=f"best-{next(_numbers)}",
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


def test_a_budget_of_nothing_leaves_what_costs_nothing(
    scene: Scene, priced: Scene, payer: Callable[..., dict[str, Any]]
) -> None:
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


def test_what_was_spent_while_there_was_no_budget_counts_for_the_next_one(
    priced: Scene, payer: Callable[..., dict[str, Any]]
) -> None:
    key = payer(budget_usd=str(10 * COST), budget_period="total")
    path = f"/api/keys/gateway/{key['id']}"
    assert [ask(priced, key).status_code for _ in range(2)] == [200] * 2
    priced.account.call("PATCH", path, 200, budget_usd=None, budget_period=None)
    assert [ask(priced, key).status_code for _ in range(3)] == [200] * 3
    priced.account.call("PATCH", path, 200, budget_usd=str(6 * COST), budget_period="total")
    assert [ask(priced, key).status_code for _ in range(3)] == [200, 402, 402]


def wait_for_budget(scene: Scene, key: dict[str, Any], served: int) -> None:
    """Returns when `served` requests of a cost of COST each have been served, and one more is refused."""
    end = time.monotonic() + 10
    found = 0
    while found < served:
        assert time.monotonic() < end
        found += ask(scene, key).status_code == 200
    while ask(scene, key).status_code != 402:
        raise AssertionError("more was served than fits")


# --- As time goes by -----------------------------------------------------------------------------


def test_a_reset_lets_it_be_spent_again(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    key = payer(budget_usd=str(2 * COST), budget_period="week")
    assert [ask(priced, key).status_code for _ in range(3)] == [200, 200, 402]
    spent_by(priced, key, 2 * COST)
    shown = priced.account.call("POST", f"/api/keys/gateway/{key['id']}/budget/reset", 200)
    assert shown["spent_usd"] == "0"
    wait_for_budget(priced, key, 2)


def test_a_new_period_counts_what_was_spent_since_it_began(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    key = payer(budget_usd=str(2 * COST), budget_period="day")
    assert [ask(priced, key).status_code for _ in range(3)] == [200, 200, 402]
    change = f"/api/keys/gateway/{key['id']}"
    priced.account.call("PATCH", change, 200, budget_period="month", budget_usd=str(3 * COST))
    wait_for_budget(priced, key, 1)
    spent_by(priced, key, 3 * COST)
    # Lower than what is spent: nothing more fits, and nothing is taken back.
    priced.account.call("PATCH", change, 200, budget_usd=str(COST))
    time.sleep(0.5)
    error = ask(priced, key).json()["error"]
    assert (error["budget"]["limit_usd"], error["budget"]["spent_usd"]) == (str(COST), str(3 * COST))
    priced.account.call("PATCH", change, 200, budget_usd=None)
    end = time.monotonic() + 5
    while ask(priced, key).status_code == 402:
        assert time.monotonic() < end


def events_of(account: Account, key: dict[str, Any], count: int) -> list[int]:
    """The thresholds of a key's budget that were told of, as soon as there are so many."""
    end = time.monotonic() + 8
    while True:
        found = [
            event["data"]["percent"]
            for event in account.call("GET", "/api/events?limit=500", 200)["data"]
            if event["kind"] == "budget.threshold" and event["data"]["id"] == key["id"]
        ]
        if len(found) >= count:
            return sorted(found)
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_each_threshold_is_told_once(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    key = payer(budget_usd=str(10 * COST), budget_period="month")
    for _ in range(6):
        assert ask(priced, key).status_code == 200
    assert events_of(priced.account, key, 1) == [50]
    # Without another request.
    priced.account.call("PATCH", f"/api/keys/gateway/{key['id']}", 200, budget_usd=str(6 * COST))
    assert events_of(priced.account, key, 4) == [50, 50, 80, 100]
    assert ask(priced, key).status_code == 402
    time.sleep(2.5)
    assert len(events_of(priced.account, key, 4)) == 4


def test_the_first_refusal_of_a_period_is_told_once(priced: Scene, payer: Callable[..., dict[str, Any]]) -> None:
    """What is left may be too little for any request long before the budget is spent."""
    key = payer(budget_usd=str(COST * 3 / 2), budget_period="month")
    assert [ask(priced, key).status_code for _ in range(4)] == [200, 402, 402, 402]
    end = time.monotonic() + 8
    while not (found := refusals_of(priced.account, key)):
        assert time.monotonic() < end
        time.sleep(0.1)
    ((title, told),) = found
    assert title == f"A request of {key['name']} was refused: it did not fit in its budget"
    figures = [Decimal(told[name]) for name in ("limit_usd", "spent_usd", "reserved_usd", "needed_usd")]
    assert figures == [COST * 3 / 2, COST, 0, COST]
    assert (told["scope"], told["period"]) == ("key", "month")
    assert told["renews_at"]
    # Another budget is another matter.
    priced.account.call("PATCH", f"/api/keys/gateway/{key['id']}", 200, budget_usd=str(COST * 5 / 4))
    while len(found := refusals_of(priced.account, key)) < 2:
        assert ask(priced, key).status_code == 402
        assert time.monotonic() < end, found
        time.sleep(0.1)
    assert len(found) == 2


def refusals_of(account: Account, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What was told of refusals for want of a key's budget: in words, and in figures."""
    events = account.call("GET", "/api/events?limit=500", 200)["data"]
    mine = [event for event in events if event["kind"] == "budget.refused" and event["data"]["id"] == key["id"]]
    return [(event["title"], event["data"]) for event in mine]


# --- Crashes -------------------------------------------------------------------------------------


def test_what_was_spent_before_a_crash_counts_after_it(upstream: Upstream) -> None:
    """Killed the moment it has answered: the records lie in the spool, and are in the ledger before more is spent."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        process = supervisor(Path(directory), SERVER=SERVER)
        process.wait_until_ready()
        account = Account(process.url, "crasher")
        key = account.create_key(budget_usd=str(5 * COST))
        scene = Scene(process.url, upstream, account, key["key"])
        price(scene)
        scene.behave({"chunks": TOKENS})
        assert [ask(scene, key).status_code for _ in range(3)] == [200] * 3
        os.killpg(process.process.pid, signal.SIGKILL)
        process.process.wait()
        again = supervisor(Path(directory), SERVER=SERVER)
        again.wait_until_ready()
        scene.http = httpx.Client(base_url=again.url, timeout=15, trust_env=False)
        assert [ask(scene, key).status_code for _ in range(4)] == [200, 200, 402, 402]
        again.stop()
