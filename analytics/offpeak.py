"""Hours at which a provider charges less (DeepSeek does), as litellm's price map describes them."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Window:
    """From `start` (UTC, included) to `end` (excluded), past midnight where it ends before it starts."""

    start: time
    end: time
    weekdays: frozenset[int] | None  # ISO numbers in the provider's own time zone; None for every day

    def holds(self, utc: datetime, weekday: int) -> bool:
        now = utc.time()
        wraps = self.end <= self.start
        inside = (now >= self.start or now < self.end) if wraps else self.start <= now < self.end
        return inside and (self.weekdays is None or weekday in self.weekdays)


@dataclass(frozen=True, slots=True)
class OffPeak(Generic[T]):
    """Rates that replace all others while one of the windows holds."""

    rates: T
    windows: tuple[_Window, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, block: dict[str, Any], rates: T) -> "OffPeak[T]":
        """Read an entry's `off_peak_pricing`. Raises ValueError when a window is malformed."""
        windows = list(_windows(block.get("hours_utc"), None))
        for rule in block.get("windows") or ():
            days = rule.get("weekdays")
            windows += _windows(rule.get("hours_utc"), None if days is None else frozenset(map(int, days)))
        return cls(rates, tuple(windows), ZoneInfo(block.get("weekday_timezone") or "UTC"))

    def holds(self, utc: datetime) -> bool:
        weekday = utc.astimezone(self.zone).isoweekday()
        return any(window.holds(utc, weekday) for window in self.windows)


def _windows(hours: str | list[str] | None, weekdays: frozenset[int] | None) -> list[_Window]:
    spans = [hours] if isinstance(hours, str) else hours or []
    bounds = [[time.fromisoformat(bound.strip()) for bound in span.split("-")] for span in spans]
    return [_Window(start, end, weekdays) for start, end in bounds]
