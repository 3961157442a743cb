"""The ledger's months: one partition of `analytics_usagerecord` for each, by the UTC month of `created_at`.

Months are made ahead (`analytics.tasks`), and by the ledger's writer for a record that has none: a clock that was
wrong, or a worker that was away, keeps no record out. Old months go as a whole. All of it is SQL, on a connection that
is handed in: Django knows nothing of partitions.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

TABLE = "analytics_usagerecord"
# Months made ahead of the current one; the one before it is there as well, for what is entered late.
AHEAD = 2
# How far a request's arrival and the time in its id may lie apart. They are taken within microseconds of each other.
NEAR = timedelta(days=1)

_EXISTING = """
SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = %s::regclass
"""
# A partition's indexes and those of the table that they are parts of.
_INDEXES = """
SELECT parent.relname, child.relname FROM pg_index
JOIN pg_class child ON child.oid = indexrelid
JOIN pg_inherits ON inhrelid = indexrelid JOIN pg_class parent ON parent.oid = inhparent
WHERE indrelid = %s::regclass
"""

Connection = psycopg.Connection[Any]


def month_of(moment: datetime | date) -> date:
    """The first day of its month; of a datetime, in UTC."""
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC).date()
    return moment.replace(day=1)


def after(month: date, count: int = 1) -> date:
    """The month that comes `count` months after `month`, or before it where `count` is negative."""
    years, months = divmod(month.month - 1 + count, 12)
    return date(month.year + years, months + 1, 1)


def current() -> list[date]:
    """The months that there should be whatever happened: the one before this one, this one, and those ahead."""
    this = month_of(datetime.now(UTC))
    return [after(this, count) for count in range(-1, AHEAD + 1)]


def existing(connection: Connection) -> list[date]:
    """The months that have a partition, oldest first."""
    names = [name.removeprefix(f"{TABLE}_") for (name,) in connection.execute(_EXISTING, [TABLE])]
    return sorted(date(int(year), int(month), 1) for year, _, month in (name.partition("_") for name in names))


def ensure(connection: Connection, months: Iterable[date]) -> list[date]:
    """Make those of `months` (first days) that have no partition; returns them. Part of the caller's transaction.

    Two that make the same one fail, so whoever calls this holds the ledger's clock (`clock.hold`).
    """
    missing = sorted(set(months) - set(existing(connection)))
    for month in missing:
        _make(connection, month)
    return missing


def drop(connection: Connection, months: Iterable[date]) -> None:
    """Remove months with all their records. Waits for whoever reads the table, at most for the `lock_timeout`."""
    for month in months:
        connection.execute(sql.SQL("DROP TABLE {}").format(_name(month)))


def _name(month: date) -> sql.Identifier:
    return sql.Identifier(f"{TABLE}{_suffix(month)}")


def _suffix(month: date) -> str:
    return f"_{month.year:04}_{month.month:02}"


def _make(connection: Connection, month: date) -> None:
    # Made beside the table and then attached: unlike CREATE … PARTITION OF, that lets readers and writers go on.
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(
            _name(month), sql.Identifier(TABLE)
        )
    )
    start, end = (sql.Literal(f"{day.isoformat()} 00:00:00+00") for day in (month, after(month)))
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(TABLE), _name(month), start, end
        )
    )
    name_indexes(connection, month)


def name_indexes(connection: Connection, month: date) -> None:
    """Name a partition's indexes as the table's, with the month behind."""
    for parent, child in connection.execute(_INDEXES, [f"{TABLE}{_suffix(month)}"]).fetchall():
        connection.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                sql.Identifier(child), sql.Identifier(f"{parent}{_suffix(month)}")
            )
        )


def near(id: UUID) -> tuple[datetime, datetime] | None:
    """Between which times the request with this id arrived, so that one month is looked into, not all of them.

    None for an id that tells no time.
    """
    if id.version != 7:
        return None
    try:
        made = datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
        return made - NEAR, made + NEAR
    except (ValueError, OverflowError):  # past the year 9999
        return None
