"""The till of processes that share budgets: in Redis, or in Postgres while Redis is away.

What this process wants to reserve waits in one line and goes to the place together, one call after the other: two
hundred requests at once are a call or two. With each call goes what this process holds of the budgets concerned, as an
absolute amount: so a call that was lost, or that came twice, is mended by the next.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import psycopg
from django.conf import settings

from gateway_project.lib.ids import uuid7_text
from gateway_project.lib.redis_link import RedisAway, RedisLink
from routing.budgets.book import Reservation, Shortfall, Spent, Unopened
from routing.budgets.in_postgres import InPostgres
from routing.budgets.in_redis import InRedis
from routing.budgets.periods import Span
from routing.budgets.place import News, Place, Stale, Verdict, Wish, leaf_of
from routing.budgets.sums import SpendingUnknown
from routing.budgets.tellers import POSTGRES, REDIS, Tellers
from routing.budgets.till import Till

logger = logging.getLogger(__name__)

# Seconds that Redis may be away before the till is moved; and that a request waits for a till at most.
GRACE: Final = 1.0
PATIENCE: Final = 20.0
# More than any batch's number.
NEVER: Final = 2**63
# Wishes, and pages that changed, in one call.
MOST: Final = 200


class _Waiting(Wish):
    """A wish with somebody who waits for the verdict."""

    __slots__ = ("verdict",)

    def __init__(self, reservation: Reservation, more: int) -> None:
        super().__init__(reservation, more)
        self.verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()


class SharedTill(Till):
    """See `Till`. For one event loop."""

    def __init__(self, link: RedisLink) -> None:
        super().__init__()
        self._link = link
        self.tellers = Tellers(self, uuid7_text(), self.postgres)
        self._in_redis = InRedis(link, self.tellers.id)
        self._places: dict[str, Place] = {
            REDIS: self._in_redis,
            POSTGRES: InPostgres(self.postgres, self.tellers.id),
        }
        self._line: list[_Waiting] = []
        # Pages of which the place does not know what this process holds now, and what it was not told of them.
        self._changed: set[str] = set()
        self._news: defaultdict[str, News] = defaultdict(News)
        self._worker: asyncio.Task[None] | None = None
        # Held by whoever talks to the place.
        self._talking = asyncio.Lock()
        self._open = asyncio.Event()
        self.generation = 0
        # The last batch when everybody had left the till before this one.
        self._least_batch = 0
        self.place = REDIS
        link.on_connect(self._bring_all)

    @property
    def redis_there(self) -> bool:
        """Whether this process reaches Redis. For any thread."""
        return self._link.connected

    @property
    def degraded(self) -> str:
        """What is wrong, for people; "" when nothing is. For any thread."""
        if self.place == POSTGRES:
            return "Redis is away: budgets are reserved in Postgres"
        return ""

    def close(self) -> None:
        told = not self._changed and not any(page.held for page in self.book.pages.values())
        self.tellers.leave(empty=told)

    # --- As every till ---------------------------------------------------------------------------

    def reserves_at_once(self, reservation: Reservation, more: int) -> bool:
        return False  # the place decides

    async def reserve(self, reservation: Reservation, more: int) -> Shortfall | None:
        while True:
            waiting = _Waiting(reservation, more)
            self._line.append(waiting)
            self._work()
            try:
                async with asyncio.timeout(PATIENCE):
                    verdict = await waiting.verdict
            except TimeoutError:
                raise SpendingUnknown from None
            if type(verdict) is not Unopened:
                return verdict  # type: ignore[return-value]  # a shortfall or nothing
            await self.opened(verdict)

    def release(self, reservation: Reservation, less: int) -> None:
        super().release(reservation, less)
        self._tell(reservation)

    def settle(self, reservation: Reservation, cost: int) -> None:
        super().settle(reservation, cost)
        self._tell(reservation)

    def land(self, batch: int, ids: Iterable[str]) -> list[Reservation]:
        landed = super().land(batch, ids)
        for reservation in landed:
            for scope in reservation.budgets:
                self._news[scope.account].landed.append((reservation.day, reservation.amount, batch))
            self._tell(reservation)
        return landed

    def know(self, ref: str, span: Span, batch: int, amount: int) -> None:
        if batch < self._least_batch:
            return  # it may lack what others have landed before the till was moved
        super().know(ref, span, batch, amount)
        self._news[ref].spent[span] = Spent(batch, amount)
        self._changed.add(ref)
        self._work()

    # --- The line --------------------------------------------------------------------------------

    def _tell(self, reservation: Reservation) -> None:
        self._changed.update(scope.account for scope in reservation.budgets)
        self._work()

    def _bring_all(self) -> None:
        """There is a new connection to Redis: what was sent on the old one may be lost."""
        self._changed.update(ref for ref, page in self.book.pages.items() if page.held)
        if self._changed:
            self._work()

    def _work(self) -> None:
        if self._worker is None or self._worker.done():
            self.tellers.start()
            self._worker = asyncio.get_running_loop().create_task(self._serve(), name="budgets till")

    async def _serve(self) -> None:
        while self._line or self._changed:
            await self._open.wait()
            try:
                async with self._talking:
                    if self._open.is_set():
                        await self._call()
            except Stale as error:
                # Others have moved on, which is then known, too; or it has lost what it knew.
                await self._move(self.place, beyond=error.generation)
            except RedisAway:
                await self._without_redis()
            except psycopg.Error as error:
                logger.warning("Postgres, which is the budgets' till now, does not answer: %s", type(error).__name__)
                self.refuse()
                await asyncio.sleep(GRACE)
            except Exception:  # nobody may wait for ever
                logger.exception("the budgets' till failed")
                self.refuse()
                await asyncio.sleep(GRACE)

    async def _call(self) -> None:
        """Bring what changed, and have the first in line decided on."""
        wishes = [waiting for waiting in self._line[:MOST] if not waiting.verdict.done()]
        del self._line[:MOST]
        refs = {scope.account for wish in wishes for scope in wish.reservation.budgets}
        changed = set(list(self._changed)[:MOST])
        self._changed -= changed | refs
        news = {ref: self._news.pop(ref, News()) for ref in refs | changed}
        leaves = [leaf_of(page, news[ref]) for ref in sorted(refs | changed) if (page := self.book.pages.get(ref))]
        try:
            verdicts = await self._places[self.place].reserve(self.generation, leaves, list(wishes))
        except BaseException:
            # What was told may have been heard or not. What is held is told again, as it is absolute; what landed is
            # not, as it would be added twice.
            self._line[:0] = wishes
            self._changed |= changed | refs
            for ref, told in news.items():
                self._news[ref].doubt = max(self._news[ref].doubt, told.in_doubt())
            raise
        for wish, verdict in zip(wishes, verdicts, strict=True):
            self._hand_on(wish, verdict)

    def _hand_on(self, wish: _Waiting, verdict: Verdict) -> None:
        if verdict is None:
            if wish.reservation.settled or wish.verdict.done():
                # Whoever wished has left: the place is told that nothing is held.
                self._changed.update(scope.account for scope in wish.reservation.budgets)
            else:
                self.book.hold(wish.reservation, wish.more)
        if not wish.verdict.done():
            wish.verdict.set_result(verdict)

    def refuse(self) -> None:
        """Whoever waits is told that it cannot be decided now."""
        line, self._line = self._line, []
        for waiting in line:
            if not waiting.verdict.done():
                waiting.verdict.set_exception(SpendingUnknown())

    # --- Moving ----------------------------------------------------------------------------------

    async def _without_redis(self) -> None:
        """Redis is away: wait a moment for it, then move, or refuse, as LIMITS_FAIL says."""
        generation = self.generation
        end = asyncio.get_running_loop().time() + GRACE
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(GRACE / 20)
            if self._link.connected or self.generation != generation:
                return
        if settings.LIMITS_FAIL == "closed":
            self.refuse()
        else:
            await self._move(POSTGRES)

    async def _move(self, place: str, beyond: int = 0) -> None:
        """Have everybody go to `place`, in a generation after this one and `beyond`."""
        self._open.clear()
        try:
            await self.tellers.propose(self.generation, place, beyond)
        except psycopg.Error as error:
            logger.warning("the budgets' till cannot be moved to %s: %s", place, type(error).__name__)
            self.refuse()
            await asyncio.sleep(GRACE)
            self._open.set()  # it is tried again by the next

    async def go(self, generation: int, place: str) -> None:
        """Leave the till for that of another generation, and bring there what is held. For the tellers.

        Raises what the place raises.
        """
        self._open.clear()
        async with self._talking:
            self.generation, self.place = generation, place
            self._least_batch = NEVER
            self.book.forget_spent()
            self._news.clear()
            held = [leaf_of(page) for page in self.book.pages.values() if page.held]
            if place != REDIS:
                self._in_redis.leave(generation)
            await self._places[place].register(generation, held)

    def begin(self, generation: int, batch: int) -> None:
        """Everybody has brought what they hold to the till of this generation: it is open. `batch` is the ledger's."""
        if generation == self.generation:
            self._least_batch = batch
            self._open.set()
            self._work()
