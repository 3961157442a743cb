"""Budgets as time goes by: resets, periods, the events that tell of them, and crashes."""

import os
import signal
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import COST, TOKENS, Payer, ask, price, spent_by, wait_for_budget
from tests.gateway.conftest import MakeScene
from tests.gateway.process import SERVER, Process, supervisor
from tests.gateway.scene import Scene
from tests.upstream import Upstream

# --- As time goes by -----------------------------------------------------------------------------


def test_a_reset_lets_it_be_spent_again(priced: Scene, payer: Payer) -> None:
    key = payer(budget_usd=str(2 * COST), budget_period="week")
    assert [ask(priced, key).status_code for _ in range(3)] == [200, 200, 402]
    spent_by(priced, key, 2 * COST)
    shown = priced.account.call("POST", f"/api/keys/gateway/{key['id']}/budget/reset", 200)
    assert shown["spent_usd"] == "0"
    wait_for_budget(priced, key, 2)


@pytest.mark.parametrize("whose", ["member", "workspace"])
def test_so_does_a_reset_for_a_member_or_the_workspace(gateway: Process, make_scene: MakeScene, whose: str) -> None:
    spender = Account(gateway.url, f"spender-{whose}")
    key = spender.create_key()
    scene = Scene(gateway.url, make_scene().upstream, spender, key["key"])
    price(scene)
    scene.behave({"chunks": TOKENS})
    path = f"/api/workspaces/{spender.workspace['id']}"
    if whose == "member":
        (member,) = spender.call("GET", f"{path}/members", 200)["data"]
        path += f"/members/{member['id']}"
    spender.call("PATCH", path, 200, budget_usd=str(2 * COST), budget_period="month")
    wait_for_budget(scene, key, 2)
    spent_by(scene, key, 2 * COST)
    shown = spender.call("POST", f"{path}/budget/reset", 200)
    assert (shown["spent_usd"], Decimal(shown["budget_usd"])) == ("0", 2 * COST)
    wait_for_budget(scene, key, 2)
    scene.close()


def test_a_new_period_counts_what_was_spent_since_it_began(priced: Scene, payer: Payer) -> None:
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


def test_each_threshold_is_told_once(priced: Scene, payer: Payer) -> None:
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


def test_the_first_refusal_of_a_period_is_told_once(priced: Scene, payer: Payer) -> None:
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
