"""How long the ledger keeps its records: months ahead are made, months past `RETENTION_DAYS` go as a whole.

What the records of a month came to stays in the rollups, so that spending and statistics do not change with it. A
record that arrives for a month that is gone has one again, until the next round. An id is known for as long as its
month is: a spool file that was entered, not removed because of a crash, and found again only after that, counts twice.
"""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from django.conf import settings

from analytics import clock, content, partitions
from gateway_project.lib import database

logger = logging.getLogger(__name__)

# Dropping a month waits for whoever reads the ledger, and new readers wait behind it; rather try again in an hour.
LOCK_TIMEOUT = "2s"

Connection = psycopg.Connection[Any]


def keep() -> None:
    """One round: make months, drop months and contents, and have Postgres look at how the ledger's rows are spread."""
    with database.connect("gateway retention") as connection:
        make_ahead(connection)
        drop_expired(connection, datetime.now(UTC).date())
        content.delete_expired(connection)
        if settings.MAX_WORKSPACE_BYTES:
            content.delete_beyond(connection, settings.MAX_WORKSPACE_BYTES)
        # Postgres by itself looks at each month, never at the table that they are parts of.
        connection.execute(f"ANALYZE {partitions.TABLE}")


def make_ahead(connection: Connection) -> list[date]:
    """Make the months that there should be; returns those that were missing. `connection` is in autocommit mode."""
    with connection.transaction():
        clock.hold(connection)
        return partitions.ensure(connection, partitions.current())


def drop_expired(connection: Connection, today: date) -> list[date]:
    """Drop the months all of whose days lie more than `RETENTION_DAYS` before `today`; returns them."""
    if not settings.RETENTION_DAYS:
        return []
    oldest = today - timedelta(days=settings.RETENTION_DAYS)
    try:
        with connection.transaction():
            # So that no batch, and nobody who makes rollups anew, sees some of these months and not others.
            clock.hold(connection)
            expired = [month for month in partitions.existing(connection) if partitions.after(month) <= oldest]
            if not expired:
                return []
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            clock.keep_since(connection, partitions.after(expired[-1]))
            partitions.drop(connection, expired)
    except psycopg.errors.LockNotAvailable:
        logger.warning("months of the ledger that are past RETENTION_DAYS are being read; they go next time")
        return []
    logger.info("the ledger's records before %s were dropped", partitions.after(expired[-1]))
    return expired
