"""Spans of time, and what their sums are put together from: whole UTC days, and what a moment cuts off of others."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gateway_project.lib.days import DAY, YEARS, midnight
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.moments import in_order

# What sums span at most: a year, and the month before it to compare with.
MAX_DAYS = 400
DEFAULT_DAYS = 30

# The span that pages show hour by hour.
BY_HOUR = "24h"
# Spans that pages offer, each up to now: their id -> name, and days; None is what 24 hours are, to the second.
PRESETS: dict[str, tuple[str, int | None]] = {
    BY_HOUR: ("24 hours", None), "7d": ("7 days", 7), "30d": ("30 days", 30), "90d": ("90 days", 90),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Period:
    """From `since`, which is included, to `until`, which is not; both UTC. Without `until` it has no end.

    `first` and `last` are the whole days in it, both included; `last` None means no end, `first` > `last` none at all.
    """

    since: datetime
    until: datetime | None = None

    @property
    def first(self) -> date:
        return self.since.date() + DAY * (self.since.time() > time())

    @property
    def last(self) -> date | None:
        return self.until.date() - DAY if self.until else None

    @property
    def cuts(self) -> list[tuple[datetime, datetime]]:
        """The pieces of days, at most one at each end, that are not whole."""
        begin, end = midnight(self.first), midnight(self.until.date()) if self.until else None
        if self.until and end and begin > end:
            return [(self.since, self.until)]
        pieces = [(self.since, begin)]
        if self.until and end:
            pieces.append((end, self.until))
        return [piece for piece in pieces if piece[0] < piece[1]]

    def days(self, today: date) -> list[date]:
        """Each day that has a part in it, oldest first; the last one of a period without end is `today`."""
        last = (self.until - timedelta(microseconds=1)).date() if self.until else today
        return [self.since.date() + timedelta(days=count) for count in range((last - self.since.date()).days + 1)]

    def hours(self, now: datetime) -> list[datetime]:
        """When each hour that has a part in it begins, oldest first; a period without end is taken up to `now`."""
        begin = self.since.replace(minute=0, second=0, microsecond=0)
        last = self.until - timedelta(microseconds=1) if self.until else now
        return [begin + timedelta(hours=count) for count in range((last - begin) // timedelta(hours=1) + 1)]


def period(since: datetime | None, until: datetime | None, now: datetime) -> Period:
    """The period of a sum: without `since` the last `DEFAULT_DAYS` days, the one of its end included.

    Raises InvalidRequest for one that ends before it begins, or that is longer than `MAX_DAYS`.
    """
    in_order(since, until)
    for name, end in (("from", since), ("to", until)):
        if end and not YEARS[0] <= end.year <= YEARS[1]:
            raise InvalidRequest(f"{name}: must be in the years {YEARS[0]} to {YEARS[1]}.", param=name)
    end = until or now
    begin = since or midnight((end - timedelta(microseconds=1)).date() - (DEFAULT_DAYS - 1) * DAY)
    if end - begin > MAX_DAYS * DAY:
        raise InvalidRequest(f"from: must be at most {MAX_DAYS} days before to.", param="from")
    return Period(begin, until)


def preset(id: str, now: datetime) -> Period:
    """The period of PRESETS: whole days (UTC), today being the last, or the 24 hours before `now`. Without an end."""
    _, days = PRESETS[id]
    return Period(now - DAY if days is None else midnight(now.astimezone(UTC).date()) - (days - 1) * DAY)
