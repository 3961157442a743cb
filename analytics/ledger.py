"""The ledger's writer: records go to the spool at once, and from there into Postgres in idempotent batches."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psycopg
from django.conf import settings
from psycopg import sql

from analytics.models import UsageRecord
from analytics.spool import Spool
from gateway_project.lib import database

logger = logging.getLogger(__name__)

EnterHook = Callable[["psycopg.Cursor[Any]"], None]

_on_enter: list[EnterHook] = []
_spool: Spool | None = None

TABLE = UsageRecord._meta.db_table
COLUMNS = sql.SQL(", ").join([sql.Identifier(str(field.column)) for field in UsageRecord._meta.concrete_fields])

# Control characters cannot stand unescaped in JSON, so this CSV takes a line of JSON exactly as it is.
COPY = "COPY spooled FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
STAGE = sql.SQL(
    """
    CREATE TEMP TABLE IF NOT EXISTS spooled (doc text) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS entered (LIKE {table}) ON COMMIT DELETE ROWS
    """
).format(table=sql.Identifier(TABLE))
ENTER = sql.SQL(
    """
    WITH new AS (
        INSERT INTO {table} ({columns})
        SELECT {columns} FROM spooled, jsonb_populate_record(NULL::{table}, doc::jsonb)
        ON CONFLICT (id) DO NOTHING
        RETURNING {columns}
    )
    INSERT INTO entered ({columns}) SELECT {columns} FROM new
    """
).format(table=sql.Identifier(TABLE), columns=COLUMNS)


def on_enter(hook: EnterHook) -> None:
    """Call `hook(cursor)` in the transaction that enters a batch, while the temporary table `entered` holds its rows.

    Each record is in one batch, so what a hook derives from it is counted once, whatever crashes.
    """
    _on_enter.append(hook)


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
        if cursor.execute(ENTER).rowcount:
            for hook in _on_enter:
                hook(cursor)


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
