"""Raises what the event loop and the snapshot's listener have no time for.

When a budget is set or changed, its spending may have passed thresholds without another request; and when a request is
refused for want of budget, nobody is to wait until that is told.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg

from gateway_project.lib import database
from keys.limits import Scope
from routing import snapshot
from routing.budgets import sums, thresholds
from routing.budgets.book import Page, Shortfall
from routing.budgets.periods import day_of, span_of
from routing.budgets.sums import Asked
from routing.snapshot import Caller

logger = logging.getLogger(__name__)

# What a threshold depends on, by scope: so that a key's new name asks nobody.
_known: dict[str, tuple[object, ...]] = {}
MOST: Final = 50_000
# Seconds after which a changed budget is looked at once more: what was answered just before it lies in the spool.
AGAIN: Final = 2.0

_thread: Final = ThreadPoolExecutor(1, thread_name_prefix="budgets watch")


def start() -> None:
    """Follow the snapshot."""
    snapshot.hear("key", lambda ids: _changed(filter(None, map(snapshot.current.key, ids))), after_silence=_nothing)
    snapshot.hear("limits", lambda workspaces: _changed(snapshot.current.keys_of(workspaces)), after_silence=_nothing)


def refused(workspace: str, shortfall: Shortfall) -> None:
    """A request was refused. Costs next to nothing from the second time on; for the event loop."""
    if once := thresholds.claim_refused(shortfall):
        _thread.submit(thresholds.raise_refused, workspace, shortfall, once)


def _nothing() -> None:
    """What was missed in a silence is looked at with the next request."""


def _changed(callers: Iterable[Caller]) -> None:
    """These keys were read again. In the listener's thread, which has better to do than to wait for sums."""
    fresh: dict[str, tuple[str, Scope]] = {}
    if len(_known) > MOST:
        _known.clear()
    for caller in callers:
        for scope in caller.limits if caller.budgeted else ():
            facts = (scope.budget_pico, scope.period, scope.reset_at, scope.reset_pico)
            if scope.budget_pico is not None and _known.get(scope.ref) != facts:
                _known[scope.ref] = facts
                fresh[scope.ref] = (caller.workspace_id, scope)
    if fresh:
        _thread.submit(check, list(fresh.values()))
        again = threading.Timer(AGAIN, _check_again, [list(fresh.values())])
        again.daemon = True
        again.start()


def _check_again(budgets: list[tuple[str, Scope]]) -> None:
    with contextlib.suppress(RuntimeError):  # the process ends
        _thread.submit(check, budgets)


def check(budgets: list[tuple[str, Scope]]) -> None:
    """Raise the events of these scopes, each with its workspace, that their spending calls for."""
    today = day_of(time.time())
    spans = [span_of(scope.period, today) for _, scope in budgets]
    asked = [
        Asked(workspace, scope.kind, scope.id, span) for (workspace, scope), span in zip(budgets, spans, strict=True)
    ]
    try:
        with database.connect("gateway budgets watch") as connection:
            _, amounts = sums.read(connection, asked)
        pages = [Page(workspace, scope) for workspace, scope in budgets]
        thresholds.check(list(zip(pages, spans, amounts, strict=True)))
    except psycopg.Error as error:
        logger.info("the thresholds of changed budgets are looked at with their next request: %s", type(error).__name__)
