"""The statements behind `sums`: rollups of whole days and records of cut ones, read as if they were one table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from accounts.access import Caller
from analytics.models import DailyTotal, DailyUsage, LedgerClock, UsageRecord
from analytics.period import Period, midnight
from analytics.queries import Filters
from analytics.rollups import BOUNDS, DIMENSIONS, MEASURES
from gateway_project.lib.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Question:
    """Whose requests are summed, and which of them: of `filters`, the `dimensions` alone."""

    caller: Caller
    period: Period
    filters: Filters = field(default_factory=Filters)


Row = tuple[Any, ...]
# The measure and the number of requests of the group that a page begins behind, and its name.
Place = tuple[Decimal, int, str]

MONEY = ("cost_usd", "saved_usd")
# Sums that follow from a rollup's dimensions.
COUNTED = {
    "cache_hits": "cache IN ('hit', 'semantic')",
    "cache_asked": "cache IN ('hit', 'semantic', 'miss')",
    "local": "privacy = 'local'",
}
NAMES = (*MEASURES, *COUNTED)

_AGGREGATE = """
WITH part AS ({parts}), summed AS (
    SELECT {group}, GROUPING({group}) AS rest, {sums} FROM part GROUP BY GROUPING SETS (({group}), ())
), ranked AS (
    SELECT *, {measure} AS measure, {second} AS second, {name} AS name FROM summed
)
SELECT {group}, {names}, measure, second, name FROM ranked WHERE rest > 0 OR {behind}
ORDER BY rest DESC, measure DESC, second DESC, name LIMIT {limit}
"""
_BEHIND = "(measure, second) < ({0}, {1}) OR (measure, second) = ({0}, {1}) AND name > {2}"
_WHOLE = "SELECT {columns}, {names} FROM {rollup} WHERE {chosen}"
_CUT = "SELECT {columns}, {measures} FROM {records} WHERE {chosen} GROUP BY {columns}"

# An array without nulls finds its n-th member at once, and as many sums beat one over as many rows.
_HISTOGRAMS = "SELECT {group}, {counts} FROM ({parts}) part GROUP BY {group}"
_WHOLE_HISTOGRAM = """
SELECT * FROM (
    SELECT {group}, array_replace(latency_hist, NULL, 0) AS counts FROM {rollup} WHERE {chosen} OFFSET 0
) dense
"""
_CUT_HISTOGRAM = """
SELECT {group}, array_fill(0::bigint, ARRAY[bucket]) || count(*) AS counts
FROM (
    SELECT *, width_bucket(latency_ms, {bounds}::int[]) AS bucket FROM {records} WHERE {chosen} AND status < 400
) answered GROUP BY {group}, bucket
"""
# What a statement here may sort and hash in memory. On disk, a tenth of a second becomes several.
_WORK_MEM = "SET LOCAL work_mem = '64MB'"


def aggregate(
    question: Question,
    group: tuple[str, ...],
    *,
    order: str = "",
    behind: Place | None = None,
    limit: int | None = None,
) -> list[Row]:
    """What everything comes to, then each group: those with the most of `order` first, by name where it is "".

    A row is the group's values (null in the first row), the sums that NAMES names, and the group's place. With `limit`
    there are so many groups and one more at most, those behind `behind`.
    """
    measures = [sql.SQL(f"{how} AS {name}") for name, how in MEASURES.items()]
    columns = _listed(dict.fromkeys((*group, "cache", "privacy")))
    blanks = {"columns": columns, "names": _listed(MEASURES), "measures": _join(measures)}
    measure = "prompt_tokens + completion_tokens" if order == "tokens" else order
    name = [sql.SQL("coalesce({}::text, '')").format(sql.Identifier(column)) for column in group]
    statement = sql.SQL(_AGGREGATE).format(
        parts=_parts(question, group, _WHOLE, _CUT, blanks),
        group=_listed(group),
        sums=_join(sql.SQL(each) for each in _sums()),
        measure=sql.SQL(measure or "0"),
        second=sql.SQL("requests" if measure else "0"),
        name=sql.SQL(" || '/' || ").join(name),
        names=_listed(NAMES),
        behind=sql.SQL(_BEHIND).format(*map(sql.Literal, behind)) if behind else sql.SQL("TRUE"),
        limit=sql.Literal(None if limit is None else limit + 2),
    )
    return _rows(statement)


def histograms(question: Question, group: tuple[str, ...], only: Iterable[Row] | None = None) -> dict[Row, list[int]]:
    """How many latencies of answered requests lie in each bucket of `rollups.BOUNDS`, by group; `only` some groups.

    Groups without answered requests are not in it.
    """
    more = [] if only is None or len(group) > 1 else [_is_any(group[0], [value for (value,) in only])]
    blanks = {"group": _listed(group), "bounds": sql.Literal(BOUNDS)}
    buckets = range(1, len(BOUNDS) + 2)
    statement = sql.SQL(_HISTOGRAMS).format(
        group=_listed(group),
        counts=_join(sql.SQL(f"coalesce(sum(counts[{place}]), 0)::bigint") for place in buckets),
        parts=_parts(question, group, _WHOLE_HISTOGRAM, _CUT_HISTOGRAM, blanks, more),
    )
    found = {row[: len(group)]: list(row[len(group) :]) for row in _rows(statement)}
    return {values: counts for values, counts in found.items() if any(counts)}


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
        kind = "numeric" if name in MONEY else "bigint"
        yield f"coalesce(sum({name}), 0)::{kind} AS {name}"
    for name, condition in COUNTED.items():
        yield f"coalesce(sum(requests) FILTER (WHERE {condition}), 0)::bigint AS {name}"


def _parts(
    question: Question,
    group: tuple[str, ...],
    whole: str,
    cut: str,
    blanks: Mapping[str, sql.Composable],
    more: Sequence[sql.Composable] = (),
) -> sql.Composed:
    """`whole` over the rollups of the period's whole days and `cut` over the records of each piece of a day.

    `blanks` are what is filled in both of them, `more` conditions beside the question's own.
    """
    caller, period, filters = question.caller, question.period, question.filters
    equal = {"workspace_id": caller.workspace.pk, **filters.dimensions}
    chosen = [*more, *(_is(column, "=", value) for column, value in equal.items())]
    # Any column that the table of totals lacks takes the other one.
    rollup = DailyTotal if {*group, *filters.dimensions} <= {"day", *DIMENSIONS[DailyTotal]} else DailyUsage
    days = [_is("day", ">=", period.first), *([_is("day", "<=", period.last)] if period.last else [])]
    table = sql.Identifier(rollup._meta.db_table)
    found = [sql.SQL(whole).format(rollup=table, chosen=_all([*chosen, *days]), **blanks)]
    records = sql.SQL("(SELECT *, (created_at AT TIME ZONE 'UTC')::date AS day FROM {}) record").format(
        sql.Identifier(UsageRecord._meta.db_table)
    )
    for begin, end in period.cuts:
        times = [_is("created_at", ">=", begin), _is("created_at", "<", end)]
        found.append(sql.SQL(cut).format(records=records, chosen=_all([*chosen, *times]), **blanks))
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


def _rows(statement: sql.Composed) -> list[Row]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WORK_MEM)
        cursor.execute(statement)
        rows: list[Row] = cursor.fetchall()
    return rows
