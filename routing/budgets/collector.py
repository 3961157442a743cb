"""Follows the ledger: raises what is known to be spent, and only then drops what was held for it."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import psycopg

from routing.budgets import sums, thresholds
from routing.budgets.book import Reservation
from routing.budgets.periods import Span, day_of
from routing.budgets.sums import Asked

if TYPE_CHECKING:
    from routing.budgets.till import Till

logger = logging.getLogger(__name__)

# Seconds between two readings: what is held meanwhile is as good as spent.
EVERY: Final = 0.25
# Seconds after which a settled request that nobody has reported is looked for: another process moved its record.
MISSING: Final = 2.0
# Rounds between two tidyings.
TIDY: Final = 2400


class Collector:
    """A task of the event loop that runs for as long as anything is held."""

    def __init__(self, till: "Till") -> None:
        self._till = till
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._rounds = 0

    def run_soon(self) -> None:
        """See to it that the task runs. For the event loop."""
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="budgets collector")

    def landed(self, batch: int, ids: list[str]) -> None:
        """The ledger has these records as of `batch`. For any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._till.book.landed, batch, ids)

    async def _run(self) -> None:
        book = self._till.book
        while book.reservations:
            await asyncio.sleep(EVERY)
            try:
                await self.round()
            except psycopg.Error as error:
                logger.info("what was spent waits to be read: %s", type(error).__name__)
            except Exception:  # whatever it is, what is held stays held, and the next round may do better
                logger.exception("a round of the budgets' collector failed")
            self._rounds += 1
            if self._rounds % TIDY == 0:
                book.prune(day_of(time.time()))

    async def round(self) -> None:
        """Read the sums of every scope with records that the ledger has, and drop what was held for those."""
        till = self._till
        await self._look_for_missing()
        landed = till.book.collectable()
        if not landed:
            return
        wanted = self._wanted(landed)
        asked = [Asked(till.book.pages[ref].workspace, *_of(till.book.pages[ref].scope), span) for ref, span in wanted]
        batch, amounts = await till.postgres.run(lambda connection: sums.read(connection, asked))
        read = [(ref, span, amount) for (ref, span), amount in zip(wanted, amounts, strict=True)]
        await till.raise_spent(read, batch, landed)
        await asyncio.to_thread(thresholds.check, [(till.book.pages[ref], span, amount) for ref, span, amount in read])

    def _wanted(self, landed: list[Reservation]) -> list[tuple[str, Span]]:
        """The periods whose sums the records are part of, as far as anybody has asked for them."""
        book = self._till.book
        refs = {scope.ref for reservation in landed for scope in reservation.budgets}
        return [(ref, span) for ref in sorted(refs) for span in book.pages[ref].spent]

    async def _look_for_missing(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < MISSING:
            return
        self._looked_at = now
        book = self._till.book
        missing = [each for each in book.reservations.values() if each.settled and each.batch is None]
        if not missing:
            return
        ids, first = [each.id for each in missing], min(each.day for each in missing)
        batch, found = await self._till.postgres.run(lambda connection: sums.entered(connection, ids, first))
        book.landed(batch, found)


def _of(scope: object) -> tuple[str, str]:
    return scope.kind, scope.id  # type: ignore[attr-defined]
