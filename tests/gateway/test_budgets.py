"""Budgets over HTTP: what does not fit is refused before anything is spent, however many ask at once."""

import time

from tests.gateway.budgets import COST, TOKENS, ask_at_once, price, spent_of
from tests.gateway.process import Process
from tests.gateway.scene import Scene


def test_of_two_hundred_at_once_a_budget_for_ten_serves_ten(scene: Scene, gateway: Process) -> None:
    price(scene)
    scene.behave({"chunks": TOKENS, "delay": 0.2})
    key = scene.account.create_key(budget_usd=str(10 * COST), budget_period="day")
    answers = ask_at_once([gateway.url], key["key"], 200, scene.body(max_tokens=TOKENS))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(402)) == (10, 190), set(statuses)
    assert len(scene.received()) == 10
    time.sleep(1)
    assert spent_of(scene.account, key["id"]) == 10 * COST
