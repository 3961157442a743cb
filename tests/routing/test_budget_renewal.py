"""A budget that was used today is known tomorrow without asking Postgres."""

import asyncio
import time

import pytest

from accounts.access import Caller
from gateway_project.lib.ids import uuid7_text
from keys.limits import Scope
from routing.budgets.periods import SECONDS
from routing.budgets.till import Till

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 10


@pytest.mark.parametrize("period", ["day", "total"])
def test_a_day_renews_itself_and_a_total_does_not(owner: Caller, period: str) -> None:
    budgets = (Scope(kind="key", id=uuid7_text(), ref="key:1", name="app", budget_pico=LIMIT, period=period),)
    workspace = str(owner.workspace.pk)

    async def spends() -> None:
        till, now = Till(), time.time()
        today = till.open(uuid7_text(), workspace, now, budgets)
        assert not till.reserves_at_once(today, 1)
        assert await till.reserve(today, LIMIT) is None
        till.settle(today, LIMIT)
        await till.collector.round()
        tomorrow = till.open(uuid7_text(), workspace, now + SECONDS, budgets)
        # At once is without Postgres.
        assert till.reserves_at_once(tomorrow, LIMIT) is (period == "day")
        assert not till.reserves_at_once(tomorrow, 1)

    asyncio.run(spends())
