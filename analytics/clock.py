"""The ledger's clock: a row in Postgres (`LedgerClock`) that counts batches, and whose lock only one writer holds.

Each function belongs to the caller's transaction, which has the lock from then until its end. Whoever comes first makes
the row.
"""

from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from analytics.models import LedgerClock

_CLOCK = sql.Identifier(LedgerClock._meta.db_table)
_TICK = sql.SQL(
    "INSERT INTO {0} AS clock (id, batch) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET batch = clock.batch + 1 "
    "RETURNING batch"
).format(_CLOCK)
_HOLD = sql.SQL(
    "INSERT INTO {0} AS clock (id, batch) VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET batch = clock.batch "
    "RETURNING batch, kept_since"
).format(_CLOCK)
_KEEP_SINCE = sql.SQL("UPDATE {0} SET kept_since = greatest(kept_since, %s)").format(_CLOCK)

Connection = psycopg.Connection[Any]


def tick(cursor: "psycopg.Cursor[Any]") -> int:
    """Begin the next batch; its number. No other batch is entered until this transaction ends."""
    (batch,) = cursor.execute(_TICK).fetchone() or (0,)
    return int(batch)


def hold(connection: Connection) -> tuple[int, date | None]:
    """Let no batch be entered until this transaction ends.

    Returns the number of the last one, and the day before which records were dropped, if any were.
    """
    batch, kept_since = connection.execute(_HOLD).fetchone() or (0, None)
    return int(batch), kept_since


def keep_since(connection: Connection, day: date) -> None:
    """Note that records of days before `day` are dropped."""
    connection.execute(_KEEP_SINCE, [day])
