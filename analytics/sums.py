"""What the requests of a period come to, exactly: days that are whole from the rollups, days that are cut from records.

Rollups and records are read in one statement, or of one moment, so that none is counted twice or left out while
others are entered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation, localcontext

from analytics.rollups import percentile
from analytics.sums_sql import NAMES, Place, Question, Row, ranked, require_records, snapshot, summed
from gateway_project.lib.pagination import DEFAULT_LIMIT, cursor_of, values_of, wrong_cursor

# What sums are grouped by, as the API calls it -> the columns.
GROUPINGS: dict[str, tuple[str, ...]] = {
    "model": ("model",), "provider": ("provider",), "key": ("key_id",), "policy": ("policy",), "user": ("user_id",),
    "day": ("day",), "target": ("provider", "model"),
}  # fmt: skip
# What groups may be ordered by, the most first.
ORDERS = ("cost_usd", "requests", "tokens", "errors", "saved_usd")
# A row of `ranked` ends with its place, which is what a cursor holds.
PLACE = 3
# More than any sum has: a rollup's numbers have thirty.
MAX_DIGITS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums over requests; the names that they share with a rollup's columns mean what they mean there.

    `cost_usd` is without the `unpriced` requests, which cost something that nobody knows. Of `cache_asked` requests
    the cache was asked for an answer, and it had one for `cache_hits`. `local` ones were answered by local models.
    """

    requests: int = 0
    errors: int = 0
    streams: int = 0
    estimated: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    latency_ms_sum: int = 0
    ttft_ms_sum: int = 0
    ttft_count: int = 0
    cache_hits: int = 0
    cache_asked: int = 0
    local: int = 0

    @property
    def answered(self) -> int:
        return self.requests - self.errors

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def mean_ms(self) -> int | None:
        """The mean latency of answered requests, in whole ms."""
        return round(self.latency_ms_sum / self.answered) if self.answered else None

    @property
    def mean_ttft_ms(self) -> int | None:
        """The mean time to the first byte, of the answered requests that have one, in whole ms."""
        return round(self.ttft_ms_sum / self.ttft_count) if self.ttft_count else None


@dataclass(frozen=True, slots=True)
class Group:
    """What the requests with the same `values` in a grouping's columns come to; "" and None are values, too.

    `p50_ms` and `p95_ms` are latencies of answered requests, as near as `rollups.percentile` is; None without any.
    """

    values: Row
    sums: Sums
    p50_ms: int | None = None
    p95_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Some groups, what all groups come to together, and where the next page begins."""

    groups: list[Group]
    total: Group
    next_cursor: str | None = None


def by_day(question: Question, today: date) -> Breakdown:
    """Each day of the period, oldest first, days without requests included; `today` is where an open period ends.

    Raises InvalidRequest for a period that cuts a day whose records retention has dropped.
    """
    require_records(question.period)
    return _in_order(summed(question, ("day",)), question.period.days(today))


def by_hour(question: Question, now: datetime) -> Breakdown:
    """Each hour of the period, as `by_day` has its days; from records alone, so for periods that are short and late."""
    require_records(question.period)
    return _in_order(summed(question, ("hour",)), question.period.hours(now))


def _in_order(rows: Sequence[Row], stamps: Sequence[date | datetime]) -> Breakdown:
    """The groups of `rows` and of those `stamps` that have none, the earliest first."""
    found = {row[0]: _group(row, 1) for row in rows}
    total = Group((None,), Sums()) if not rows else _group((None, *_together([row[1:] for row in rows])), 1)
    return Breakdown([found.get(stamp) or Group((stamp,), Sums()) for stamp in sorted({*stamps, *found})], total)


def breakdown(
    question: Question, by: str, *, order: str = "cost_usd", limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Breakdown:
    """The groups of `by`, one of GROUPINGS, with the most of `order`, one of ORDERS, first; days go by the calendar.

    Raises InvalidRequest naming `cursor`, and as `by_day` does.
    """
    require_records(question.period)
    columns = GROUPINGS[by]
    order, behind = "" if by == "day" else order, _decoded(cursor) if cursor else None
    with snapshot():
        # There may be ten thousand groups: what they are ordered by is summed for all, the rest for those on the page.
        page = ranked(question, columns, order=order, behind=behind, limit=limit + 1)
        shown = [row[: len(columns)] for row in page[:limit]]
        rows = summed(question, columns, only=shown) if shown else []
        total = _group(summed(question, ())[0], 0)
    found = {row[: len(columns)]: _group(row, len(columns)) for row in rows}
    following = cursor_of([str(value) for value in page[limit - 1][-PLACE:]]) if len(page) > limit else None
    return Breakdown([found[values] for values in shown], total, following)


def _group(row: Row, columns: int) -> Group:
    values, numbers, hist = row[:columns], row[columns:][: len(NAMES)], row[columns + len(NAMES) :]
    sums = Sums(**dict(zip(NAMES, numbers, strict=True)))
    return Group(values, sums, p50_ms=percentile(hist, 0.5), p95_ms=percentile(hist, 0.95))


def _together(rows: Sequence[Row]) -> Row:
    """The sum of each column, exactly: Decimals are rounded to the context's precision where they are added."""
    with localcontext(prec=MAX_DIGITS):
        return tuple(sum(column) for column in zip(*rows, strict=True))


def _decoded(cursor: str) -> Place:
    """The place of the last group of the page before. Raises InvalidRequest for what is no such cursor."""
    measure, requests, name = values_of(cursor, PLACE)
    try:
        place = Decimal(measure), int(requests), name
    except (InvalidOperation, ValueError):
        raise wrong_cursor() from None
    if not place[0].is_finite() or abs(place[0].adjusted()) > 30 or len(requests) > 20 or "\0" in name:
        raise wrong_cursor()
    return place
