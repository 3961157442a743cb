"""Follows the ledger: what has landed there is spent, and held no more; and its sums are read again now and then."""

import asyncio
import itertools
import logging
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import psycopg

from routing.budgets import sums, thresholds
from routing.budgets.book import Page
from routing.budgets.periods import Span, day_of, span_of
from routing.budgets.sums import Asked

if TYPE_CHECKING:
    from routing.budgets.till import Till

logger = logging.getLogger(__name__)

# Seconds between two readings of the sums of what was used since the last: they have what nobody here held, such as
# requests from before there was a budget, and records that another process moved.
EVERY: Final = 2.0
# Readings between two tidyings.
TIDY: Final = 300
_BUDGETS: Final = attrgetter("budgets")


class Collector:
    """A task of the event loop that runs for as long as anything is held, and one round longer."""

    def __init__(self, till: "Till") -> None:
        self._till = till
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        # The scopes of which something has landed since the last reading.
        self._touched: set[str] = set()
        self._rounds = 0

    def run_soon(self) -> None:
        """See to it that the task runs. For the event loop."""
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="budgets collector")

    def waits(self) -> bool:
        """Whether anything is held that is to land: a request is in the book before its record is entered."""
        return bool(self._till.book.reservations)

    def landed(self, batch: int, ids: list[str]) -> None:
        """The ledger has these records, since `batch`. For any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._land, batch, ids)

    def _land(self, batch: int, ids: list[str]) -> None:
        landed = self._till.land(batch, ids)
        # Those of one key have the same budgets, and come in runs.
        for scopes, _ in itertools.groupby(map(_BUDGETS, landed)):
            self._touched.update([scope.account for scope in scopes])

    async def _run(self) -> None:
        book = self._till.book
        while book.reservations or self._touched:
            await asyncio.sleep(EVERY)
            try:
                await self.round()
            except psycopg.Error as error:
                logger.info("what was spent waits to be read again: %s", type(error).__name__)
            except Exception:  # whatever it is, what is held stays held, and the next round may do better
                logger.exception("a round of the budgets' collector failed")
            self._rounds += 1
            if self._rounds % TIDY == 0:
                book.prune(day_of(time.time()))

    async def round(self) -> None:
        """Read the sums of the scopes of which something has landed, and tell of thresholds."""
        book = self._till.book
        unlanded = book.unlanded()
        touched = {ref for ref in self._touched if ref in book.pages}
        self._touched.clear()
        for reservation in unlanded:
            touched.update(scope.account for scope in reservation.budgets)
        today = day_of(time.time())
        wanted = [(ref, span) for ref in sorted(touched) for span in _spans(book.pages[ref], today)]
        if not wanted and not unlanded:
            return
        asked = [Asked(page.workspace, page.scope.kind, page.scope.id, span) for page, span in self._pages(wanted)]
        ids = [reservation.id for reservation in unlanded]
        first = min((reservation.day for reservation in unlanded), default=0)

        def read(connection: "psycopg.Connection[Any]") -> tuple[int, list[int], list[str]]:
            return sums.read_with_records(connection, asked, ids, first)

        try:
            batch, amounts, found = await self._till.postgres.run(read)
        except BaseException:
            self._touched |= touched
            raise
        # As of one moment, so none of what the sums have is held any more.
        self._till.land(batch, found)
        for (ref, span), amount in zip(wanted, amounts, strict=True):
            self._till.know(ref, span, batch, amount)
        spent = [(page, span, amount) for (page, span), amount in zip(self._pages(wanted), amounts, strict=True)]
        await asyncio.to_thread(thresholds.check, spent)

    def _pages(self, wanted: list[tuple[str, Span]]) -> list[tuple[Page, Span]]:
        return [(self._till.book.pages[ref], span) for ref, span in wanted]


def _spans(page: Page, today: int) -> set[Span]:
    """The periods whose sums are reckoned with here, and the one that holds now, which may be so elsewhere.

    Tomorrow's, too: so a budget renews itself also while Postgres is away.
    """
    return {*page.spent, span_of(page.scope.period, today), span_of(page.scope.period, today + 1)}
