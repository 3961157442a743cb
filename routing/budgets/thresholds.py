"""Tells a workspace's people when a budget is half spent, nearly spent, spent, and first in the way: once each."""

import logging
import time
from collections.abc import Iterable
from typing import Final

from django.db import connections

from accounts.events import raise_event
from keys.limits import Scope
from routing.budgets.book import Page, Shortfall, budget_of
from routing.budgets.periods import Span, day_of, span_of
from routing.budgets.shortfall import figures, usd

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
    once = _once(scope, span, str(percent))
    if once in _raised:
        return
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
    _remember(once)


def claim_refused(shortfall: Shortfall) -> str:
    """The key to raise a refusal by, for whoever is the first here in this budget and period; "" for all others.

    A budget of nothing is meant to refuse. Asks nobody: for the event loop.
    """
    if not shortfall.limit:
        return ""
    once = _once(shortfall.scope, shortfall.span, "refused")
    if once in _raised:
        return ""
    _remember(once)
    return once


def raise_refused(workspace: str, shortfall: Shortfall, once: str) -> None:
    """Raise what was claimed: long before a budget is spent to the cent, what is left of it is too little to reserve.

    Uses Django's connection of this thread.
    """
    try:
        raise_event(workspace, "budget.refused", once, {"id": shortfall.scope.id, **figures(shortfall)})
    except Exception:  # nobody waits for this; the next refusal raises it
        _raised.discard(once)
        logger.exception("a refusal for want of budget could not be told of")
    finally:
        connections["default"].close()


def _once(scope: Scope, span: Span, what: str) -> str:
    """Another budget, and one that was set back, has events of its own."""
    return f"budget:{scope.ref}:{span.period}:{span.first}:{scope.budget_pico}:{scope.reset_at or 0:.6f}:{what}"


def _remember(once: str) -> None:
    if len(_raised) >= MOST:
        _raised.clear()
    _raised.add(once)
