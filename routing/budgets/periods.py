"""The calendar periods of budgets, UTC, in days since 1970-01-01."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

SECONDS: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
# Day 4 was the first Monday.
_MONDAY: Final = 4
# Beyond what any clock shows, and what a date can be.
NEVER: Final = (date.max - _EPOCH).days


class Span(NamedTuple):
    """One period: from day `first` to day `end`, which is not part of it."""

    period: str
    first: int
    end: int

    def holds(self, day: int) -> bool:
        """Whether `day` lies in it."""
        return self.first <= day < self.end

    @property
    def renews_at(self) -> str | None:
        """When the next one begins (RFC 3339); None when none does."""
        return None if self.end == NEVER else moment(self.end).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_of(at: float) -> int:
    """The day of a Unix time."""
    return int(at // SECONDS)


def date_of(day: int) -> date:
    """The calendar's day."""
    return _EPOCH + timedelta(days=day)


def moment(day: int) -> datetime:
    """When a day begins."""
    return datetime.fromtimestamp(day * SECONDS, UTC)


@lru_cache(maxsize=1024)
def span_of(period: str, day: int) -> Span:
    """The `period` (day, week, month or total) that `day` lies in. A budget without a period is a total."""
    match period:
        case "day":
            return Span(period, day, day + 1)
        case "week":
            first = day - (day - _MONDAY) % 7
            return Span(period, first, first + 7)
        case "month":
            start = date_of(day).replace(day=1)
            following = (start + timedelta(days=31)).replace(day=1)
            return Span(period, (start - _EPOCH).days, (following - _EPOCH).days)
        case "total" | "":
            return Span("total", 0, NEVER)
    raise ValueError(f"{period!r} is no period")
