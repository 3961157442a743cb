"""The ledger's writer: records go to the spool at once, and from there into Postgres in idempotent batches."""

import logging
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
from django.conf import settings
from psycopg import sql

from analytics import clock, content, metrics, partitions, rollups
from analytics.models import UsageRecord
from analytics.spool import Spool
from gateway_project.lib import database
from gateway_project.lib.errors import LedgerUnavailable

logger = logging.getLogger(__name__)

# Seconds after which a refused request may be tried again, as a header.
RETRY_AFTER = "5"

EnterHook = Callable[["psycopg.Cursor[Any]"], None]
EnteredCallback = Callable[[int, list[str]], None]
Waits = Callable[[], bool]

_on_enter: list[EnterHook] = []
_after_enter: list[tuple[EnteredCallback, Waits]] = []
_spool: Spool | None = None

TABLE = UsageRecord._meta.db_table
FIELDS = UsageRecord._meta.concrete_fields
COLUMNS = sql.SQL(", ").join([sql.Identifier(str(field.column)) for field in FIELDS])
# What a line need not say: null is taken for the others. What it lacks may also be a column that it is older than.
DEFAULTS = {str(field.column): field.get_default() for field in FIELDS if field.has_default() or field.blank}

# Control characters cannot stand unescaped in JSON, so this CSV takes a line of JSON exactly as it is.
COPY = "COPY spooled (doc) FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
STAGE = sql.SQL(
    """
    CREATE TEMP TABLE IF NOT EXISTS spooled (line bigint GENERATED ALWAYS AS IDENTITY, doc text) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS entered (LIKE {table}) ON COMMIT DELETE ROWS
    """
).format(table=sql.Identifier(TABLE))
# An id is entered once, whatever time comes with it: partitions make Postgres's own key one of id and time, but no two
# batches are entered at once (`clock`), so that what is not there yet will not be when this one is. The look-up stands
# in a subquery of its own so that it goes by the index of each month, and never through the ledger as a whole.
ENTER = sql.SQL(
    """
    WITH fresh AS (
        SELECT DISTINCT ON (id) {columns}
        FROM spooled, jsonb_populate_record(NULL::{table}, {defaults}::jsonb || doc::jsonb)
        ORDER BY id, line
    ), new AS (
        INSERT INTO {table} ({columns})
        SELECT {columns} FROM fresh
        WHERE (SELECT true FROM {table} known WHERE known.id = fresh.id LIMIT 1) IS NULL
        RETURNING {columns}
    )
    INSERT INTO entered ({columns}) SELECT {columns} FROM new
    """
).format(
    table=sql.Identifier(TABLE), columns=COLUMNS, defaults=sql.Literal(orjson.dumps(DEFAULTS, default=str).decode())
)
# psycopg would put it together anew, name by name, for every batch.
_ENTER = ENTER.as_bytes()
# What Postgres says of a record that it does not take (the last two: nested too deeply, too long for an index), and of
# a month that has no partition yet.
REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.ProgramLimitExceeded,
)


def on_enter(hook: EnterHook) -> None:
    """Call `hook(cursor)` in the transaction that enters a batch, while the temporary table `entered` holds its rows.

    Each record is in one batch, so what a hook derives from it is counted once, whatever crashes.
    """
    _on_enter.append(hook)


def after_enter(callback: EnteredCallback, *, waits: Waits = lambda: True) -> None:
    """Call `callback(batch, ids)` in the writer's thread once a batch is committed, with the ids of all its lines.

    Not while `waits()`, asked in that thread, is false: then no record that was entered is waited for.

    Those that were entered before, or were refused and set aside, are among them: they will not come again. `batch` is
    the clock's number (`LedgerClock`); whoever reads that number or a later one sees what these records came to.
    """
    _after_enter.append((callback, waits))


def start() -> None:
    """Open this process's spool and begin to move records to Postgres. Safe to call again."""
    _started()


def _started() -> Spool:
    global _spool
    if _spool is None:
        _spool = Spool(Path(settings.DATA_DIR) / "spool", move, limit=settings.SPOOL_MAX_BYTES)
        _spool.start()
    return _spool


def stop() -> None:
    """Move what is spooled, for a few seconds, and end. What remains is taken up at the next start."""
    global _spool
    if _spool is not None:
        _spool.stop()
        _spool = None


def orphans() -> bool:
    """Whether the spool holds records of processes that are gone, or that another one is just moving.

    What has been spent is not yet known while it does. Asks the disk: not for the request path.
    """
    return _started().orphans()


def waiting() -> frozenset[str]:
    """What the spool holds now, of all processes on this machine: a name for each segment that is yet to be moved.

    Once none of them is there any more, whatever was entered before this call is in Postgres. Asks the disk.
    """
    return _started().waiting()


def require_room() -> None:
    """Raises `LedgerUnavailable` while what a request would cost could not be entered. Costs nothing.

    To be called before a request is begun: the record of one that is under way always has room.
    """
    if _spool is not None and _spool.refusal:
        raise LedgerUnavailable(f"{_spool.refusal} Try again later.", headers={"retry-after": RETRY_AFTER})


def refusal() -> str:
    """Why requests are refused; "" while they are not."""
    return _spool.refusal if _spool is not None else ""


def enter(record: dict[str, Any], sealed: bytes | None = None) -> None:
    """Put `record`, whose members are columns of `UsageRecord`, `id` first, into the spool.

    Columns that are as in `DEFAULTS`, or null, may be left out.

    `sealed` is what was asked and answered, as ciphertext in ASCII, where the workspace keeps that.

    It survives this process when this returns; if the disk refuses it, once the disk or Postgres takes it.
    """
    line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    _started().append(line if sealed is None else line + content.line(record, sealed))


_connection: psycopg.Connection[Any] | None = None
# A server that is gone without a word must not hold up the thread for the quarter of an hour that TCP would wait.
IMPATIENT = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
             "tcp_user_timeout": 30_000}  # fmt: skip


def move(segment: bytes) -> None:
    """Enter a segment's records in Postgres, each exactly once however often this runs. For the spool's thread alone.

    Records that Postgres refuses are set aside in a file and reported; they never hold up the others.
    Raises `psycopg.OperationalError` when the database is away.
    """
    global _connection
    if _connection is None or _connection.closed:
        _connection = database.connect("gateway ledger", **IMPATIENT)
        stage(_connection)
    try:
        _enter(_connection, segment)
    except REFUSED:
        _make_months(_connection, segment)
        _in_parts(_connection, segment.splitlines(keepends=True))


def stage(connection: psycopg.Connection[Any]) -> None:
    """Make the temporary tables that a batch is entered through."""
    connection.execute(STAGE)
    connection.execute(content.STAGE)
    # A process that hangs must not keep the clock from all the others.
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")


def _enter(connection: psycopg.Connection[Any], lines: bytes) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        # First, so that the writers of all processes take turns, and a batch's number tells what is in the sums.
        batch = clock.tick(cursor)
        records, contents = content.split(lines)
        if contents:
            content.enter(cursor, contents)
        with cursor.copy(COPY) as copy:
            copy.write(records)
        if cursor.execute(_ENTER).rowcount:
            rollups.add(cursor)
            for hook in _on_enter:
                hook(cursor)
    _tell(batch, lines)


def _make_months(connection: psycopg.Connection[Any], segment: bytes) -> None:
    """Make the partitions that records in `segment` need: whatever a clock says, its records are entered."""
    months = {month for line in segment.splitlines() if (month := _month(line))}
    with connection.transaction():
        clock.hold(connection)
        made = partitions.ensure(connection, months)
    if made:
        logger.info("partitions of the ledger were made for %s", ", ".join(f"{month:%Y-%m}" for month in made))


def _month(line: bytes) -> date | None:
    """The month of a record; None where there is none to make, since Postgres will not take the record."""
    try:
        month = partitions.month_of(datetime.fromisoformat(orjson.loads(line)["created_at"]))
        partitions.after(month)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return month


def _in_parts(connection: psycopg.Connection[Any], lines: list[bytes]) -> None:
    """Enter what can be of `lines`; halving them finds a few that are refused among many in few steps."""
    try:
        _enter(connection, b"".join(lines))
    except REFUSED as error:
        if len(lines) == 1:
            _set_aside(lines[0], error)
            _tell(_batch(connection), lines[0])
        else:
            middle = len(lines) // 2
            _in_parts(connection, lines[:middle])
            _in_parts(connection, lines[middle:])


def _batch(connection: psycopg.Connection[Any]) -> int:
    with connection.transaction():
        return clock.hold(connection)[0]


def _tell(batch: int, lines: bytes) -> None:
    """Say that the records in `lines` need be waited for no more."""
    waiting = [callback for callback, waits in _after_enter if waits()]
    ids = [id for line in lines.split(b"\n") if (id := _id(line))] if waiting else []
    for callback in waiting:
        try:
            callback(batch, ids)
        except Exception:  # the records are entered, and the others who wait must hear of it
            logger.exception("who waited for batch %d failed", batch)


# How a record begins, as `enter` writes it, and where its id stands in it.
_HEAD = b'{"id":"'
_ID = slice(len(_HEAD), len(_HEAD) + 36)


def _id(line: bytes) -> str:
    """A record's id; "" where a line was cut or is no record."""
    if line.startswith(_HEAD):
        return line[_ID].decode("ascii", "replace")
    if line.startswith(content.MARK):
        return ""
    try:
        return str(orjson.loads(line)["id"])
    except (ValueError, KeyError, TypeError):
        return ""


def _set_aside(line: bytes, error: psycopg.Error) -> None:
    """Keep a record that cannot be entered, and say so."""
    path = Path(settings.DATA_DIR) / "spool" / "refused.txt"
    with path.open("ab") as refused:
        refused.write(line.rstrip(b"\n") + b"\n")
    metrics.LEDGER_SET_ASIDE.inc()
    logger.error(
        "a usage record (%s) was refused (%s) and set aside in %s", _id(line) or "no id", error.sqlstate, path.name
    )
