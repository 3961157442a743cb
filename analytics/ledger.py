"""The ledger's writer: records go to the spool at once, and from there into Postgres in idempotent batches."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.conf import settings
from psycopg import sql

from analytics.models import UsageRecord
from analytics.spool import Spool
from gateway_project.lib import database

logger = logging.getLogger(__name__)

# (key, when it was last used, what it spent), for each key with new records in a batch.
Use = tuple[UUID, datetime, Decimal]
UseHook = Callable[["psycopg.Cursor[Any]", Sequence[Use]], None]

_on_use: list[UseHook] = []
_spool: Spool | None = None

TABLE = UsageRecord._meta.db_table
COLUMNS = sql.SQL(", ").join([sql.Identifier(str(field.column)) for field in UsageRecord._meta.concrete_fields])

# Control characters cannot stand unescaped in JSON, so this CSV takes a line of JSON exactly as it is.
COPY = "COPY spooled FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
STAGE = "CREATE TEMP TABLE IF NOT EXISTS spooled (doc text) ON COMMIT DELETE ROWS"
ENTER = sql.SQL(
    """
    WITH entered AS (
        INSERT INTO {table} ({columns})
        SELECT {columns} FROM spooled, jsonb_populate_record(NULL::{table}, doc::jsonb)
        ON CONFLICT (id) DO NOTHING
        RETURNING key_id, created_at, cost_usd
    )
    SELECT key_id, max(created_at), sum(cost_usd) FROM entered WHERE key_id IS NOT NULL GROUP BY key_id ORDER BY key_id
    """
).format(table=sql.Identifier(TABLE), columns=COLUMNS)


def on_use(hook: UseHook) -> None:
    """Call `hook(cursor, uses)` in the transaction that enters a batch, with what each key newly spent."""
    _on_use.append(hook)


def start() -> None:
    """Open this process's spool and begin to move records to Postgres. Safe to call again."""
    global _spool
    if _spool is None:
        _spool = Spool(Path(settings.DATA_DIR) / "spool", move)
        _spool.start()


def stop() -> None:
    """Move what is spooled, for a few seconds, and end. What remains is taken up at the next start."""
    global _spool
    if _spool is not None:
        _spool.stop()
        _spool = None


def enter(record: dict[str, Any]) -> None:
    """Put `record`, whose members are the columns of `UsageRecord`, into the spool. Durable when it returns.

    Raises `OSError` when the disk refuses it.
    """
    if _spool is None:
        start()
    assert _spool is not None  # noqa: S101  (start made it)
    _spool.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


_connection: psycopg.Connection[Any] | None = None


def move(segment: bytes) -> None:
    """Enter a segment's records in Postgres, each exactly once however often this runs. For the spool's thread alone.

    Records that Postgres refuses are set aside in a file and reported; they never hold up the others.
    Raises `psycopg.OperationalError` when the database is away.
    """
    global _connection
    if _connection is None or _connection.closed:
        _connection = database.connect("gateway ledger")
        _connection.execute(STAGE)
    try:
        _enter(_connection, segment)
    except (psycopg.DataError, psycopg.IntegrityError):
        _one_by_one(_connection, segment)


def _enter(connection: psycopg.Connection[Any], lines: bytes) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(COPY) as copy:
            copy.write(lines)
        uses: list[Use] = cursor.execute(ENTER).fetchall()
        if uses:
            for hook in _on_use:
                hook(cursor, uses)


def _one_by_one(connection: psycopg.Connection[Any], segment: bytes) -> None:
    for line in segment.splitlines(keepends=True):
        try:
            _enter(connection, line)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            _set_aside(line, error)


def _set_aside(line: bytes, error: psycopg.Error) -> None:
    """Keep a record that cannot be entered, and say so."""
    path = Path(settings.DATA_DIR) / "spool" / "refused.txt"
    with path.open("ab") as refused:
        refused.write(line.rstrip(b"\n") + b"\n")
    logger.error("a usage record was refused (%s) and set aside in %s", error.sqlstate, path.name)
