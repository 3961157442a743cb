"""Prometheus's counters and histograms at the price of an addition: what a request is counted in.

prometheus_client takes a lock at each step, for threads. A tally is counted in by one thread, the event loop's, and
hands over what came together when somebody reads the metrics. Where several processes are read as one,
prometheus_client keeps its figures in files: there nothing may wait, so each is counted in at once.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

from django.conf import settings
from prometheus_client import Counter, Histogram


class Counts(Protocol):
    """What can be counted in."""

    def inc(self, amount: float = 1) -> None: ...


class Observes(Protocol):
    """What takes measurements."""

    def observe(self, amount: float) -> None: ...


class Latency(Histogram):
    """A histogram that can take many measurements together."""

    @property
    def bounds(self) -> Sequence[float]:
        """The buckets' upper ends, the last infinite."""
        return self._upper_bounds

    def add(self, counts: Sequence[int], total: float) -> None:
        """Take in `counts` measurements in the buckets, which are `total` together."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class _Tally:
    """Counts for `counter`."""

    __slots__ = ("_counter", "_handed_over", "_total")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._total = self._handed_over = 0.0

    def inc(self, amount: float = 1) -> None:
        self._total += amount

    def hand_over(self) -> None:
        total = self._total
        self._counter.inc(total - self._handed_over)
        self._handed_over = total


class _LatencyTally:
    """Takes measurements for `histogram`."""

    __slots__ = ("_bounds", "_counts", "_handed_over", "_histogram", "_total")

    def __init__(self, histogram: Latency) -> None:
        self._histogram = histogram
        self._bounds = [*histogram.bounds]
        self._counts = [0] * len(self._bounds)
        self._total = 0.0
        self._handed_over = (tuple(self._counts), self._total)

    def observe(self, amount: float) -> None:
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._total += amount

    def hand_over(self) -> None:
        counts, total = tuple(self._counts), self._total
        before, total_before = self._handed_over
        self._histogram.add([now - then for now, then in zip(counts, before, strict=True)], total - total_before)
        self._handed_over = (counts, total)


# By whom they count for.
_tallies: dict[Counter, _Tally] = {}
_latencies: dict[Latency, _LatencyTally] = {}
_handing_over = threading.Lock()


def counted(counter: Counter) -> Counts:
    """What to count in for `counter` (one with its labels), in the event loop's thread."""
    return counter if settings.METRICS_FOLDER is not None else _tallies.setdefault(counter, _Tally(counter))


def measured(histogram: Latency) -> Observes:
    """What to measure in for `histogram` (one with its labels), in the event loop's thread."""
    if settings.METRICS_FOLDER is not None:
        return histogram
    return _latencies.setdefault(histogram, _LatencyTally(histogram))


def hand_over() -> None:
    """Bring Prometheus's own objects up to date; from any thread, before they are read."""
    with _handing_over:
        for tally in [*_tallies.values()]:
            tally.hand_over()
        for latencies in [*_latencies.values()]:
            latencies.hand_over()
