"""Where a request reserves: in this process's book alone, which is all there is without Redis."""

import asyncio
import logging
from collections.abc import Iterable

import psycopg

from analytics import ledger
from gateway_project.lib import redis_link
from keys.limits import Scope
from routing.budgets import sums
from routing.budgets.book import Book, Reservation, Shortfall, Unopened
from routing.budgets.collector import Collector
from routing.budgets.periods import Span
from routing.budgets.sums import Asked, Postgres, SpendingUnknown

logger = logging.getLogger(__name__)


class Till:
    """The till of a process that is alone. For one event loop, but for `landed`."""

    def __init__(self) -> None:
        self.book = Book()
        self.postgres = Postgres()
        self.collector = Collector(self)
        self._opening: dict[tuple[str, Span], asyncio.Task[None]] = {}
        ledger.after_enter(self.collector.landed, waits=self.collector.waits)

    def open(self, id: str, workspace: str, at: float, budgets: tuple[Scope, ...]) -> Reservation:
        """A reservation of nothing yet, in each of `budgets`; see `Book.open`."""
        self.collector.run_soon()
        return self.book.open(id, workspace, at, budgets)

    def reserves_at_once(self, reservation: Reservation, more: int) -> bool:
        """Hold `more` picodollars, if nobody but this process's book has to be asked, and it has room."""
        if self.book.obstacle(reservation, more) is not None:
            return False
        self.book.hold(reservation, more)
        return True

    async def reserve(self, reservation: Reservation, more: int) -> Shortfall | None:
        """Hold `more` picodollars, or say which budget has no room. Raises `SpendingUnknown`."""
        while True:
            obstacle = self.book.obstacle(reservation, more)
            if obstacle is None:
                self.book.hold(reservation, more)
                return None
            if type(obstacle) is Shortfall:
                return obstacle
            assert type(obstacle) is Unopened  # noqa: S101  (the third of three)
            await self.opened(obstacle)

    def release(self, reservation: Reservation, less: int) -> None:
        """Hold so much less."""
        self.book.release(reservation, less)

    def settle(self, reservation: Reservation, cost: int) -> None:
        """Hold what the request cost, until the ledger has it. Synchronous; once."""
        self.book.settle(reservation, cost)

    def land(self, batch: int, ids: Iterable[str]) -> list[Reservation]:
        """The ledger has these records, since `batch`. What of it had been held."""
        return self.book.land(batch, ids)

    def know(self, ref: str, span: Span, batch: int, amount: int) -> None:
        """Take the ledger's sum for a period as of `batch`."""
        self.book.know(ref, span, batch, amount)

    async def opened(self, unopened: Unopened) -> None:
        """Returns when a budget's spending was read; many who wait for it ask once. Raises `SpendingUnknown`."""
        key = unopened.scope.account, unopened.span
        opening = self._opening.get(key)
        if opening is None:
            opening = self._opening[key] = asyncio.create_task(self._open_budget(unopened))
            opening.add_done_callback(lambda _: self._opening.pop(key, None))
        try:
            # Whoever leaves does not stop it for the others.
            await asyncio.shield(opening)
        except psycopg.Error:
            raise SpendingUnknown from None

    async def _open_budget(self, unopened: Unopened) -> None:
        scope, workspace, span = unopened
        asked = [Asked(workspace, scope.kind, scope.id, span)]
        try:
            batch, (amount,) = await self.postgres.run(lambda connection: sums.read_first(connection, asked))
        except psycopg.Error as error:
            logger.warning("what was spent of a budget could not be read: %s", type(error).__name__)
            raise
        # A sum that was overtaken by what landed meanwhile is not taken; whoever waits asks again.
        self.know(scope.account, span, batch, amount)

    @property
    def degraded(self) -> str:
        """What is wrong, for people; "" when nothing is. For any thread."""
        return ""

    def close(self) -> None:
        """The process ends: what it held is said to be held no more. Its records have been moved to the ledger."""


_current: Till | None = None


def held_of(ref: str) -> dict[int, int]:
    """What this process holds of a scope, by day: a copy, for any thread."""
    page = _current.book.pages.get(ref) if _current is not None else None
    return dict(page.held) if page is not None else {}


def degraded() -> str:
    """What is wrong with budgets in this process, for people; "" when nothing is. For any thread."""
    return _current.degraded if _current is not None else ""


def close() -> None:
    """The process ends."""
    if _current is not None:
        _current.close()


def current() -> Till:
    """This process's till."""
    global _current
    if _current is None:
        if redis_link.current is None:
            _current = Till()
        else:
            from routing.budgets.shared import SharedTill

            _current = SharedTill(redis_link.current)
    return _current
