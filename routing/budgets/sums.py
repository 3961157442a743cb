"""What the ledger says was spent: its daily sums, read together with the number of the last batch in them."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

import psycopg
from django.db.backends.utils import CursorWrapper

from analytics import ledger
from analytics.models import DailyTotal, DailyUsage, LedgerClock, UsageRecord
from gateway_project.lib import database
from gateway_project.lib.errors import ServiceUnavailable
from keys.limits import pico
from routing.budgets.periods import Span, date_of, moment

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds for which it is waited that spooled records are moved, before a sum is first read.
PATIENCE: Final = 5.0

# One statement, and so one snapshot: the sums have just the batches up to that number in them.
_SUMS = f"""
SELECT n, (SELECT coalesce(max(batch), 0) FROM {LedgerClock._meta.db_table}), coalesce(CASE kind
    WHEN 'key' THEN (
        SELECT sum(cost_usd) FROM {DailyUsage._meta.db_table}
        WHERE workspace_id = asked.workspace AND key_id = asked.id AND day >= first AND day < until)
    WHEN 'user' THEN (
        SELECT sum(cost_usd) FROM {DailyUsage._meta.db_table}
        WHERE workspace_id = asked.workspace AND user_id = asked.id AND day >= first AND day < until)
    ELSE (
        SELECT sum(cost_usd) FROM {DailyTotal._meta.db_table}
        WHERE workspace_id = asked.workspace AND day >= first AND day < until)
    END, 0)
FROM unnest(%s::int[], %s::text[], %s::uuid[], %s::uuid[], %s::date[], %s::date[])
    AS asked(n, kind, workspace, id, first, until)
ORDER BY n
"""  # noqa: S608  (tables' names)
_BATCH = f"SELECT coalesce(max(batch), 0) FROM {LedgerClock._meta.db_table}"  # noqa: S608
_ENTERED = f"SELECT id FROM {UsageRecord._meta.db_table} WHERE id = ANY(%s::uuid[]) AND created_at >= %s"  # noqa: S608


class Asked(NamedTuple):
    """Whose spending in which period: `kind` and `id` are a scope's."""

    workspace: str
    kind: str
    id: str
    span: Span


class SpendingUnknown(ServiceUnavailable):
    """What was spent of a budget cannot be told now, so nothing more may be spent of it."""

    def __init__(self) -> None:
        super().__init__(
            "What was spent of a budget that holds for this request is not known right now.",
            headers={"retry-after": "1"},
        )


class Postgres:
    """One connection, in one thread: whoever asks waits for their turn."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="budgets")
        self._connection: psycopg.Connection[Any] | None = None

    async def run(self, task: Callable[["psycopg.Connection[Any]"], T]) -> T:
        """What `task` returns of its connection. Raises `psycopg.Error`, after a second try with a new connection."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_here, task)

    def run_here(self, task: Callable[["psycopg.Connection[Any]"], T]) -> T:
        """The same, in a thread of one's own."""
        kept = self._connection is not None and not self._connection.closed
        try:
            return task(self._connected())
        except psycopg.OperationalError:
            self.close()
            if not kept:
                raise
        return task(self._connected())

    def _connected(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            self._connection = database.connect("gateway budgets")
        return self._connection

    def close(self) -> None:
        """Drop the connection; the next task makes another one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def last_batch(connection: "psycopg.Connection[Any]") -> int:
    """The number of the last batch that the ledger has."""
    (batch,) = connection.execute(_BATCH).fetchone() or (0,)
    return int(batch)


def read(connection: "psycopg.Connection[Any] | CursorWrapper", asked: Sequence[Asked]) -> tuple[int, list[int]]:
    """The last batch, and what was spent of each, in picodollars."""
    if not asked:
        return 0, []
    columns = (
        list(range(len(asked))),
        [each.kind for each in asked],
        [each.workspace for each in asked],
        [each.id for each in asked],
        [date_of(each.span.first) for each in asked],
        [date_of(each.span.end) for each in asked],
    )
    rows = connection.execute(_SUMS, columns).fetchall()
    return int(rows[0][1]), [pico(usd) for _, _, usd in rows]


def read_first(connection: "psycopg.Connection[Any]", asked: Sequence[Asked]) -> tuple[int, list[int]]:
    """As `read`, once the ledger has what was spooled before: nobody has held that for a budget that is new.

    Waits for `PATIENCE` seconds at most. Raises `SpendingUnknown` when what a dead process left is not moved by then.
    """
    end = time.monotonic() + PATIENCE
    before = ledger.waiting()
    while before := before & ledger.waiting():
        if time.monotonic() > end:
            if ledger.orphans():
                raise SpendingUnknown
            break
        time.sleep(0.02)
    return read(connection, asked)


def read_with_records(
    connection: "psycopg.Connection[Any]", asked: Sequence[Asked], ids: Sequence[str], first_day: int
) -> tuple[int, list[int], list[str]]:
    """As `read`, and which of the requests `ids`, that came on `first_day` or later, are in the sums."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        batch = last_batch(connection)
        _, amounts = read(connection, asked)
        found = connection.execute(_ENTERED, (list(ids), moment(first_day))).fetchall() if ids else []
    return batch, amounts, [str(id) for (id,) in found]
