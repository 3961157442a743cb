"""What has been spent of budgets, for the pages. Who knows is registered at start: `accounts` has no ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.models import Limited


@dataclass(frozen=True)
class Spending:
    """What counts against a budget in the period that runs; without a budget, all that was ever spent.

    `renews_at`: when the next period begins; None: never. `ledger_usd` is what the ledger has for that period, without
    regard to resets.
    """

    spent_usd: Decimal
    budget_usd: Decimal | None
    period: str
    renews_at: datetime | None
    ledger_usd: Decimal = Decimal(0)

    @property
    def percent(self) -> int | None:
        """Of the budget, rounded down, since what is not spent is not; None without a budget."""
        if self.budget_usd is None:
            return None
        return int(self.spent_usd * 100 / self.budget_usd) if self.budget_usd else 100

    @property
    def when(self) -> str:
        """The period, as a reader says it."""
        return {"day": "today", "week": "this week", "month": "this month"}.get(self.period, "in all")

    @property
    def level(self) -> str:
        """How near its end the budget is: `ok`, `near` from 80 percent, `over` when it is spent."""
        percent = self.percent or 0
        return "over" if percent >= 100 else "near" if percent >= 80 else "ok"


# Rows of one kind → each one's spending, by its id. As many queries for many rows as for one.
Reader = Callable[[Sequence[Limited]], dict[UUID, Spending]]

_reader: Reader | None = None


def register_spending(reader: Reader) -> None:
    """Have `reader` say what gateway keys, members and workspaces have spent."""
    global _reader
    _reader = reader


def spending_of(rows: Sequence[Limited]) -> dict[UUID, Spending]:
    """What each of `rows`, all of one kind, has spent, by its id. Raises `RuntimeError` when nobody knows."""
    if _reader is None:
        raise RuntimeError("nobody is registered to know what is spent; routing/apps.py does that")
    return _reader(rows) if rows else {}
