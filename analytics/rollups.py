"""What the ledger's records of a day come to: `DailyUsage` and `DailyTotal`, kept as records are entered.

Each record is entered once, in the transaction that also adds it here, so that rollups and records never disagree;
`rebuild` makes them anew from the records, a day at a time, while batches go on to be entered.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg import sql

from analytics import clock
from analytics.models import DailyTotal, DailyUsage, Rollup, UsageRecord

_RECORDS = sql.Identifier(UsageRecord._meta.db_table)
_UTC_DAY = "(created_at AT TIME ZONE 'UTC')::date"

# Where one bucket of `latency_hist` ends and the next begins, in ms: four to each doubling, up to a quarter of an hour.
# Bucket 0 is what took less than 1 ms, bucket i begins at BOUNDS[i - 1], the last has no end.
BOUNDS = sorted({round(2 ** (step / 4)) for step in range(81)})
ACCURACY = 0.1

_PERSONAL = ("key_id", "user_id")
_SHARED = ("provider", "provider_kind", "model", "policy", "privacy", "cache", "complexity")
# By table, what its rows are told apart by, beside workspace and day.
DIMENSIONS: dict[type[Rollup], tuple[str, ...]] = {DailyUsage: _PERSONAL + _SHARED, DailyTotal: _SHARED}

_ANSWERED = "status < 400"
MEASURES = {
    "requests": "count(*)",
    "errors": f"count(*) FILTER (WHERE NOT {_ANSWERED})",
    "streams": "count(*) FILTER (WHERE stream)",
    "estimated": "count(*) FILTER (WHERE usage_estimated)",
    "unpriced": "count(*) FILTER (WHERE cost_usd = 0 AND prompt_tokens > 0 AND price ->> 'source' = 'unknown')",
    "prompt_tokens": "sum(prompt_tokens::bigint)",
    "cached_tokens": "sum(cached_tokens::bigint)",
    "completion_tokens": "sum(completion_tokens::bigint)",
    "reasoning_tokens": "sum(reasoning_tokens::bigint)",
    "cost_usd": "sum(cost_usd)",
    "saved_usd": "sum(saved_usd)",
    "latency_ms_sum": f"coalesce(sum(latency_ms::bigint) FILTER (WHERE {_ANSWERED}), 0)",
    "ttft_ms_sum": f"coalesce(sum(ttft_ms::bigint) FILTER (WHERE {_ANSWERED}), 0)",
    "ttft_count": f"count(ttft_ms) FILTER (WHERE {_ANSWERED})",
}

# Sums by dimensions and bucket first, then by dimensions; a histogram is the counts of its buckets, in their order.
_ADD = """
WITH told AS (
    SELECT *, {day} AS day,
           CASE WHEN status < 400 THEN width_bucket(latency_ms, {bounds}::int[]) END AS bucket
    FROM {source}
), counted AS (
    SELECT {dimensions}, bucket, {measures} FROM told GROUP BY {dimensions}, bucket
), summed AS (
    SELECT {dimensions}, {sums}, array_agg(bucket) AS buckets, array_agg(requests) AS counts
    FROM counted GROUP BY {dimensions}
)
INSERT INTO {table} AS kept ({dimensions}, {names}, latency_hist)
SELECT {dimensions}, {names},
       ARRAY(SELECT counts[array_position(buckets, i)] FROM generate_series(0, {last}) i ORDER BY i)
FROM summed
ON CONFLICT ({dimensions}) DO UPDATE SET {added}, latency_hist = ARRAY(
    SELECT CASE WHEN old IS NULL THEN new WHEN new IS NULL THEN old ELSE old + new END
    FROM unnest(kept.latency_hist, excluded.latency_hist) WITH ORDINALITY AS both_of(old, new, i) ORDER BY i
)
"""


def _statement(model: type[Rollup], source: sql.Composable) -> sql.Composed:
    """Adds what the rows of `source` come to to `model`'s table."""
    listed = sql.SQL(", ")
    names = [sql.Identifier(name) for name in MEASURES]
    dimensions = [sql.Identifier(name) for name in ("workspace_id", "day", *DIMENSIONS[model])]
    return sql.SQL(_ADD).format(
        source=source,
        day=sql.SQL(_UTC_DAY),
        table=sql.Identifier(model._meta.db_table),
        bounds=sql.Literal(BOUNDS),
        last=sql.Literal(len(BOUNDS)),
        dimensions=listed.join(dimensions),
        names=listed.join(names),
        measures=listed.join(sql.SQL(f"{how} AS {{}}").format(sql.Identifier(name)) for name, how in MEASURES.items()),
        sums=listed.join(sql.SQL("sum({0}) AS {0}").format(name) for name in names),
        added=listed.join(sql.SQL("{0} = kept.{0} + excluded.{0}").format(name) for name in names),
    )


# As bytes: psycopg would put them together anew, name by name, for every batch.
_ENTERED = [_statement(model, sql.SQL("entered")).as_bytes() for model in DIMENSIONS]


def add(cursor: "psycopg.Cursor[Any]") -> None:
    """Add the rows of the temporary table `entered`. For the ledger's writer, in the transaction that enters them."""
    for statement in _ENTERED:
        cursor.execute(statement)


# --- Reading -------------------------------------------------------------------------------------


def percentile(hist: Sequence[int | None], share: float) -> int | None:
    """The latency in ms that `share` of those in `hist` do not exceed; None when there are none.

    It is the (geometric) middle of the bucket where that latency lies, so it is off by 10% at most.
    """
    total = sum(count or 0 for count in hist)
    if not total:
        return None
    wanted = max(1, math.ceil(share * total))
    up_to = itertools.accumulate(count or 0 for count in hist)
    bucket = next(bucket for bucket, seen in enumerate(up_to) if seen >= wanted)
    if bucket in (0, len(BOUNDS)):
        return BOUNDS[-1] if bucket else 0
    return round(math.sqrt(BOUNDS[bucket - 1] * (BOUNDS[bucket] - 1)))


# --- Making them anew ----------------------------------------------------------------------------


def rebuild(
    connection: "psycopg.Connection[Any]", first: date | None = None, last: date | None = None
) -> Iterator[date]:
    """Make the rollups of the days from `first` to `last` (both included; all by default) anew. Yields each day done.

    Holds the ledger's clock for one day at a time: batches wait for that long, in the spool, and none is counted twice
    or left out. Days whose records retention has dropped keep what they have. `connection` is in autocommit mode.
    """
    for day in _days(connection, first or date.min, last or date.max):
        with connection.transaction():
            _, kept_since = clock.hold(connection)
            if kept_since is not None and day < kept_since:
                continue
            _rebuild_day(connection, day)
        yield day


_SOME_DAYS = "SELECT DISTINCT {day} FROM {table} WHERE {day} BETWEEN %(first)s AND %(last)s"


def _days(connection: "psycopg.Connection[Any]", first: date, last: date) -> list[date]:
    """The days of the period on which there are records or rollups, oldest first."""
    parts = [sql.SQL(_SOME_DAYS).format(day=sql.SQL(_UTC_DAY), table=_RECORDS)]
    for model in DIMENSIONS:
        parts.append(sql.SQL(_SOME_DAYS).format(day=sql.SQL("day"), table=sql.Identifier(model._meta.db_table)))
    query = sql.SQL(" UNION ").join(parts) + sql.SQL(" ORDER BY 1")
    return [day for (day,) in connection.execute(query, {"first": first, "last": last})]


def _rebuild_day(connection: "psycopg.Connection[Any]", day: date) -> None:
    start, end = (f"{each.isoformat()} 00:00:00+00" for each in (day, day + timedelta(days=1)))
    source = sql.SQL("(SELECT * FROM {} WHERE created_at >= {} AND created_at < {}) of_day").format(
        _RECORDS, sql.Literal(start), sql.Literal(end)
    )
    for model in DIMENSIONS:
        table = sql.Identifier(model._meta.db_table)
        connection.execute(sql.SQL("DELETE FROM {} WHERE day = {}").format(table, sql.Literal(day)))
        connection.execute(_statement(model, source))
