"""The statements behind `sums`: rollups of whole days and records of cut ones, read as if they were one table."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from accounts.access import Caller
from analytics.models import DailyTotal, DailyUsage, LedgerClock, UsageRecord
from analytics.period import Period
from analytics.queries import Filters
from analytics.rollups import BOUNDS, DIMENSIONS, MEASURES
from gateway_project.lib.days import midnight
from gateway_project.lib.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Question:
    """Whose requests are summed, and which of them: of `filters`, the `dimensions` alone."""

    caller: Caller
    period: Period
    filters: Filters = field(default_factory=Filters)


Row = tuple[Any, ...]
# Rows of `table` that are `chosen`.
Part = Callable[..., sql.Composed]
# The measure and the number of requests of the group that a page begins behind, and its name.
Place = tuple[Decimal, int, str]

MONEY = ("cost_usd", "saved_usd")
# Sums that follow from a rollup's dimensions, and these.
COUNTED = {
    "cache_hits": "cache IN ('hit', 'semantic')",
    "cache_asked": "cache IN ('hit', 'semantic', 'miss')",
    "local": "privacy = 'local'",
}
_COUNTED_BY = ("cache", "privacy")
NAMES = (*MEASURES, *COUNTED)

_RANKED = """
WITH summed AS (
    SELECT {group}, sum(measure) AS measure, sum(second) AS second, {name} AS name FROM ({parts}) part GROUP BY {group}
)
SELECT {group}, measure, second, name FROM summed WHERE {behind}
ORDER BY measure DESC, second DESC, name LIMIT {limit}
"""
# Grouped here already, a million rollups are shared out among Postgres's workers.
_RANKED_PART = "SELECT {group}, {measure} AS measure, {second} AS second FROM {table} WHERE {chosen} GROUP BY {group}"
_BEHIND = "(measure, second) < ({0}, {1}) OR (measure, second) = ({0}, {1}) AND name > {2}"

_SUMMED = "SELECT {results} FROM ({parts}) part GROUP BY {group}"

# `summed` reads these, rows with sums and the latencies' counts. An array without nulls finds its n-th member at once,
# and as many sums beat one over as many rows. OFFSET keeps it from being made once for each of them.
_WHOLE = """
SELECT * FROM (
    SELECT {columns}, {names}, array_replace(latency_hist, NULL, 0) AS counts FROM {table} WHERE {chosen} OFFSET 0
) dense
"""
_CUT = """
SELECT {columns}, {measures}, array_fill(0::bigint, ARRAY[coalesce(bucket, 0)]) || count(bucket) AS counts
FROM (
    SELECT *, CASE WHEN status < 400 THEN width_bucket(latency_ms, {bounds}::int[]) END AS bucket
    FROM {table} WHERE {chosen}
) told GROUP BY {columns}, bucket
"""
_RECORDS = """(
    SELECT *, (created_at AT TIME ZONE 'UTC')::date AS day, date_trunc('hour', created_at, 'UTC') AS hour FROM {}
) record"""
# What rows of a hundred sums may sort and hash in memory. On disk, a tenth of a second becomes several.
_WORK_MEM = "SET LOCAL work_mem = '64MB'"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@contextmanager
def snapshot() -> Iterator[None]:
    """What is read within is as of one moment, unless a transaction has begun already, which may be laxer."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            _run(sql.SQL(_SNAPSHOT))
        yield


def ranked(
    question: Question, group: tuple[str, ...], *, order: str = "", behind: Place | None = None, limit: int
) -> list[Row]:
    """The values and the place of at most `limit` groups behind `behind`, the most of `order` first, or by name."""
    name = [sql.SQL("coalesce({}::text, '')").format(sql.Identifier(column)) for column in group]
    whole, cut = (
        partial(sql.SQL(_RANKED_PART).format, group=_listed(group), measure=sql.SQL(measure), second=sql.SQL(second))
        for measure, second in _ranks(order)
    )
    statement = sql.SQL(_RANKED).format(
        parts=_parts(question, group, whole, cut),
        group=_listed(group),
        name=sql.SQL(" || '/' || ").join(name),
        behind=sql.SQL(_BEHIND).format(*map(sql.Literal, behind)) if behind else sql.SQL("TRUE"),
        limit=sql.Literal(limit),
    )
    return _rows(statement)


def summed(question: Question, group: tuple[str, ...], *, only: Iterable[Row] | None = None) -> list[Row]:
    """What each group comes to, in no order; `only` some of them. Without columns to group by everything is one group.

    A row is the group's values, the sums that NAMES names, and how many latencies of answered requests lie in each
    bucket of `rollups.BOUNDS`.
    """
    # Groups of several columns are few.
    more = [] if only is None or len(group) != 1 else [_is_any(group[0], [value for (value,) in only])]
    results = [f"coalesce(sum(counts[{place}]), 0)::bigint" for place in range(1, len(BOUNDS) + 2)]
    columns = _listed(dict.fromkeys((*group, *_COUNTED_BY)))
    # Of the rollups' own types: else each of their rows is converted.
    measures = _join(sql.SQL(f"({how})::{_kind(name)} AS {name}") for name, how in MEASURES.items())
    whole = partial(sql.SQL(_WHOLE).format, columns=columns, names=_listed(MEASURES))
    cut = partial(sql.SQL(_CUT).format, columns=columns, measures=measures)
    statement = sql.SQL(_SUMMED).format(
        parts=_parts(question, group, whole, partial(cut, bounds=sql.Literal(BOUNDS)), more),
        group=_listed(group) if group else sql.SQL("()"),
        results=_join([*map(sql.Identifier, group), *map(sql.SQL, [*_sums(), *results])]),
    )
    with transaction.atomic():
        _run(sql.SQL(_WORK_MEM))
        return _rows(statement)


def require_records(period: Period) -> None:
    """Raises InvalidRequest naming the end of `period` that cuts a day of which only sums are kept."""
    if not period.cuts:
        return
    kept_since: date | None = LedgerClock.objects.values_list("kept_since", flat=True).first()
    for begin, _ in period.cuts:
        if kept_since and begin.date() < kept_since:
            param = "from" if begin > midnight(begin.date()) else "to"
            raise InvalidRequest(
                f"{param}: before {kept_since} only the sums of whole days (UTC) are kept; name a date.", param=param
            )


def _sums() -> Iterable[str]:
    for name in MEASURES:
        yield f"coalesce(sum({name}), 0)::{_kind(name)} AS {name}"
    for name, condition in COUNTED.items():
        yield f"coalesce(sum(requests) FILTER (WHERE {condition}), 0)::bigint AS {name}"


def _kind(measure: str) -> str:
    return "numeric" if measure in MONEY else "bigint"


def _ranks(order: str) -> Iterable[tuple[str, str]]:
    """What groups are ordered by, and what those are with the same of it: over rollups, and over records."""
    if not order:
        return ("0", "0"), ("0", "0")
    if order == "tokens":
        measures = "sum(prompt_tokens + completion_tokens)", "sum(prompt_tokens::bigint + completion_tokens)"
    else:
        measures = f"sum({order})", MEASURES[order]
    return zip(measures, ("sum(requests)", MEASURES["requests"]), strict=True)


def _parts(
    question: Question, group: tuple[str, ...], whole: Part, cut: Part, more: Sequence[sql.Composable] = ()
) -> sql.Composed:
    """`whole` of the rollups of the period's whole days and `cut` of the records of each piece of a day.

    By hour it is `cut` of all of its records. `more` are conditions beside the question's own.
    """
    caller, period, filters = question.caller, question.period, question.filters
    equal = {"workspace_id": caller.workspace.pk, **filters.dimensions}
    chosen = [*more, *(_is(column, "=", value) for column, value in equal.items())]
    # Any column that the table of totals lacks takes the other one.
    rollup = DailyTotal if {*group, *filters.dimensions} <= {"day", *DIMENSIONS[DailyTotal]} else DailyUsage
    days = [_is("day", ">=", period.first), *([_is("day", "<=", period.last)] if period.last else [])]
    found = [whole(table=sql.Identifier(rollup._meta.db_table), chosen=_all([*chosen, *days]))]
    pieces: Sequence[tuple[datetime, datetime | None]] = period.cuts
    if "hour" in group:  # which no rollup knows
        found, pieces = [], [(period.since, period.until)]
    records = sql.SQL(_RECORDS).format(sql.Identifier(UsageRecord._meta.db_table))
    for begin, end in pieces:
        times = [_is("created_at", ">=", begin), *([_is("created_at", "<", end)] if end else [])]
        found.append(cut(table=records, chosen=_all([*chosen, *times])))
    return sql.SQL(" UNION ALL ").join(found)


def _is(column: str, how: str, value: Any) -> sql.Composed:
    return sql.SQL("{} {} {}").format(sql.Identifier(column), sql.SQL(how), sql.Literal(value))


def _is_any(column: str, values: list[Any]) -> sql.Composed:
    """Null is a value like others."""
    known = [value for value in values if value is not None]
    return sql.SQL("({0} = ANY({1}) OR {2} AND {0} IS NULL)").format(
        sql.Identifier(column), sql.Literal(known), sql.Literal(None in values)
    )


def _all(conditions: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" AND ").join(conditions)


def _join(items: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(items)


def _listed(columns: Iterable[str]) -> sql.Composed:
    return _join(map(sql.Identifier, columns))


def _run(statement: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _rows(statement: sql.Composable) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[Row] = cursor.fetchall()
    return rows
