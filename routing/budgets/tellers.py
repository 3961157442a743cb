"""The processes that reserve of budgets, and how they change the till together.

One row in Postgres says which till holds, and counts its generations. Whoever finds that it will not do (Redis is away,
has forgotten, or is back; a process has died) proposes the next generation. Everybody leaves the old till at once,
brings what they hold to the new one, and says so; it opens when all have. So at no moment do two tills grant the same
money, and what a dead process had reserved is in no new one.

A process is dead when it has not been seen for `LEASE` seconds. What it settled counts: its records lie in the spool,
and its death is acted on only when the ledger has them.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from django.conf import settings

from analytics import ledger
from gateway_project.lib import database
from gateway_project.lib.redis_link import RedisAway
from routing.budgets.place import Stale
from routing.budgets.sums import Postgres, last_batch
from routing.models import BudgetTeller, BudgetTill

if TYPE_CHECKING:
    from routing.budgets.shared import SharedTill

logger = logging.getLogger(__name__)

REDIS: Final = "redis"
POSTGRES: Final = "postgres"
CHANNEL: Final = "gateway_budgets"
# Seconds: between two signs of life, until a process counts as dead, and between two looks at who has arrived.
BEAT: Final = 1.0
LEASE: Final[float] = settings.BUDGETS_LEASE
LOOK: Final = 0.01
# Seconds after which the dead of another machine, whose spool nobody here sees, are given up.
GIVEN_UP: Final = 600.0
# Seconds for which everybody must reach Redis before the till is moved back.
STEADY: Final = 2.0
RETRY: Final = 1.0

_TILL, _TELLER = BudgetTill._meta.db_table, BudgetTeller._meta.db_table
# Tables' names are all that is put in, here and below.
_FIRST = f"INSERT INTO {_TILL} (id, generation, place) VALUES (1, 1, 'redis') ON CONFLICT DO NOTHING"  # noqa: S608
_NOW = f"SELECT generation, place FROM {_TILL}"  # noqa: S608
_PROPOSE = f"""
UPDATE {_TILL} SET generation = greatest(generation, %s) + 1, place = %s WHERE generation = %s
"""  # noqa: S608
_JOIN = f"""
INSERT INTO {_TELLER} (id, generation, seen_at, spool, redis) VALUES (%s, %s, now(), %s, %s)
ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, seen_at = now(), redis = excluded.redis
"""  # noqa: S608
_BEAT = f"UPDATE {_TELLER} SET seen_at = now(), redis = %s WHERE id = %s"  # noqa: S608
_ALL = f"SELECT id, generation, spool, extract(epoch FROM now() - seen_at) FROM {_TELLER}"  # noqa: S608
_FORGET = f"DELETE FROM {_TELLER} WHERE id = ANY(%s::uuid[])"  # noqa: S608
_ALL_REACH_REDIS = f"SELECT bool_and(redis) FROM {_TELLER} WHERE seen_at > now() - make_interval(secs => %s)"  # noqa: S608


class Tellers(threading.Thread):
    """Keeps this process among the tellers, and brings it from till to till. Begun when a budget is first asked."""

    def __init__(self, till: "SharedTill", id: str, postgres: Postgres) -> None:
        super().__init__(name="budgets tellers", daemon=True)
        self.id = id
        self._till = till
        self._postgres = postgres
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spool = str((Path(settings.DATA_DIR) / "spool").resolve())
        self._redis_since = 0.0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin, in this event loop. Safe to call again."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            super().start()

    def leave(self, *, empty: bool) -> None:
        """The process ends. With `empty` hands it is forgotten at once, else when it is found to be dead."""
        self._stopping.set()
        if self._loop is None or not empty:
            return
        try:
            with database.connect("gateway budget tellers") as connection:
                connection.execute(_FORGET, [[self.id]])
        except psycopg.Error as error:
            logger.info("Postgres was not told that this process ends: %s", type(error).__name__)

    async def propose(self, generation: int, place: str, beyond: int = 0) -> None:
        """Have the next generation be at `place`, unless somebody was first. Raises `psycopg.Error`.

        It comes after `generation`, and after `beyond`, which is one that a till was found to have.
        """
        await self._postgres.run(lambda connection: _propose(connection, generation, place, beyond=beyond))

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with database.connect("gateway budget tellers") as connection:
                    self._follow(connection)
            except Exception as error:  # the thread must outlive whatever comes; nothing is granted meanwhile
                known = isinstance(error, psycopg.Error | TimeoutError)
                logger.log(
                    logging.INFO if known else logging.ERROR,
                    "the budgets' tellers cannot be followed (%s); trying again",
                    type(error).__name__,
                    exc_info=not known,
                )
                self._stopping.wait(RETRY)

    def _follow(self, connection: "psycopg.Connection[Any]") -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        connection.execute(_FIRST)
        arrived = 0
        while not self._stopping.is_set():
            generation, place = _now(connection)
            if generation != arrived:
                if self._goes(connection, generation, place):
                    self._arrives(connection, generation, place)
                    arrived = generation
                continue
            self._beat(connection, generation, place)
            for _ in connection.notifies(timeout=BEAT, stop_after=1):
                pass

    def _goes(self, connection: "psycopg.Connection[Any]", generation: int, place: str) -> bool:
        """Leave for the till of `generation`, with what is held. False when that till will not do."""
        try:
            self._on_loop(self._till.go(generation, place))
        except Stale as stale:
            _propose(connection, generation, place, beyond=stale.generation)
            return False
        except RedisAway:
            if settings.LIMITS_FAIL == "closed":
                self._soon(self._till.refuse)
                self._stopping.wait(RETRY)
            else:
                _propose(connection, generation, POSTGRES)
            return False
        return True

    def _arrives(self, connection: "psycopg.Connection[Any]", generation: int, place: str) -> None:
        """Say so, and open the till when everybody else has arrived."""
        connection.execute(_JOIN, [self.id, generation, self._spool, self._till.redis_there])
        self._redis_since = time.monotonic()
        beat_at = time.monotonic() + BEAT
        while self._awaits(connection, generation):
            if _now(connection)[0] != generation:
                return
            if time.monotonic() > beat_at:
                connection.execute(_BEAT, [self._till.redis_there, self.id])
                beat_at = time.monotonic() + BEAT
            time.sleep(LOOK)
        if _now(connection)[0] == generation:
            logger.info("budgets are reserved in %s, generation %d", place, generation)
            self._soon(self._till.begin, generation, last_batch(connection))

    def _awaits(self, connection: "psycopg.Connection[Any]", generation: int) -> bool:
        """Whether anybody alive is yet to arrive, or anything that the dead have settled to be entered."""
        behind = [row for row in connection.execute(_ALL).fetchall() if row[1] < generation]
        if any(age <= LEASE for _, _, _, age in behind):
            return True
        return any(spool == self._spool for _, _, spool, _ in behind) and ledger.orphans()

    def _on_loop(self, work: Any) -> None:
        """Have the event loop do `work`, and wait for it. Raises what it raises."""
        assert self._loop is not None  # noqa: S101  (the thread is begun in it)
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LEASE / 2)

    def _soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Have the event loop call it."""
        assert self._loop is not None  # noqa: S101
        self._loop.call_soon_threadsafe(callback, *args)

    def _beat(self, connection: "psycopg.Connection[Any]", generation: int, place: str) -> None:
        """A sign of life; and a look at whether the till will still do."""
        there = self._till.redis_there
        if not connection.execute(_BEAT, [there, self.id]).rowcount:
            # It was taken for dead, and what it holds for gone.
            _propose(connection, generation, place)
            return
        dead = self._dead(connection)
        if dead:
            logger.warning("%d process(es) that reserved of budgets have died", len(dead))
            _propose(connection, generation, place, dead=dead)
        elif place == POSTGRES:
            self._move_back(connection, generation, there=there)

    def _dead(self, connection: "psycopg.Connection[Any]") -> list[str]:
        silent = [(str(id), spool, age) for id, _, spool, age in connection.execute(_ALL).fetchall() if age > LEASE]
        if not silent:
            return []
        waits = ledger.orphans()
        return [id for id, spool, age in silent if age > GIVEN_UP or (spool == self._spool and not waits)]

    def _move_back(self, connection: "psycopg.Connection[Any]", generation: int, *, there: bool) -> None:
        now = time.monotonic()
        row = connection.execute(_ALL_REACH_REDIS, [LEASE]).fetchone()
        if not there or row is None or not row[0]:
            self._redis_since = now
        elif now - self._redis_since >= STEADY:
            _propose(connection, generation, REDIS)


def _now(connection: "psycopg.Connection[Any]") -> tuple[int, str]:
    row = connection.execute(_NOW).fetchone()
    return (int(row[0]), str(row[1])) if row is not None else (0, REDIS)


def _propose(
    connection: "psycopg.Connection[Any]", generation: int, place: str, *, beyond: int = 0, dead: Sequence[str] = ()
) -> None:
    with connection.transaction():
        if connection.execute(_PROPOSE, [beyond, place, generation]).rowcount:
            if dead:
                connection.execute(_FORGET, [list(dead)])
            connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
