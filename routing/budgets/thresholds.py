"""Tells a workspace's people when a budget is half spent, nearly spent, and spent: once each."""

import logging
import time
from collections.abc import Iterable
from typing import Final

from django.db import connections

from accounts.events import raise_event
from keys.limits import Scope
from routing.budgets.book import Page, budget_of
from routing.budgets.periods import Span, day_of, span_of
from routing.budgets.shortfall import usd

logger = logging.getLogger(__name__)

PERCENT: Final = (50, 80, 100)
# How many that were raised here are remembered, so that the database is not asked about each again and again.
MOST: Final = 10_000

_raised: set[str] = set()


def check(spent: Iterable[tuple[Page, Span, int]]) -> None:
    """Raise the events of the budgets that the ledger's sums have come to. Uses Django's connection of this thread."""
    try:
        for page, span, amount in spent:
            _check(page.workspace, page.scope, span, amount)
    finally:
        connections["default"].close()


def _check(workspace: str, scope: Scope, span: Span, amount: int) -> None:
    """A budget of nothing has no thresholds; a period that is over, or is not the budget's any more, neither."""
    budget = scope.budget_pico
    if not budget or span != span_of(scope.period, day_of(time.time())):
        return
    spent = amount - (budget_of(scope, span) - budget)
    for percent in PERCENT:
        if spent * 100 >= budget * percent:
            _raise(workspace, scope, span, spent, percent)


def _raise(workspace: str, scope: Scope, span: Span, spent: int, percent: int) -> None:
    # Another budget, and one that was set back, has thresholds of its own.
    once = f"budget:{scope.ref}:{span.period}:{span.first}:{scope.budget_pico}:{scope.reset_at or 0:.6f}:{percent}"
    if once in _raised:
        return
    if len(_raised) >= MOST:
        _raised.clear()
    data = {
        "scope": scope.kind,
        "id": scope.id,
        "name": scope.name,
        "period": span.period,
        "percent": percent,
        "budget_usd": usd(scope.budget_pico or 0),
        "spent_usd": usd(spent),
        "renews_at": span.renews_at,
    }
    raise_event(workspace, "budget.threshold", once, data)
    _raised.add(once)
