"""What a process may admit while it cannot ask Redis: a share that adds up to the limit over all processes.

At its beginning everybody keeps what they had admitted themselves and takes their part of what was left. A process that
had less than an equal share comes to it two windows later, and one that had more gives it up one window after the
beginning, so that at no moment the processes together exceed the limit.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from keys.limits import Scope
from routing.limits.local import Counts
from routing.limits.permit import UNITS, Unit
from routing.share import Channel

# What processes tell each other each second: of scopes that have used more than a `WORTH`th of a limit, and of how
# many of them at most.
NEWS = "limits"
WORTH, MOST_NEWS = 20, 1000
# Scopes whose use in the whole installation is remembered.
MOST_KNOWN = 20_000
# Gatherings after which a process that says nothing has ended.
SILENT = 3
# Seconds that stand for the window of streams, which have none.
STREAMS_WINDOW = 60.0


@dataclass(frozen=True, slots=True)
class Used:
    """What a scope had used in the whole installation at a moment."""

    at: float
    requests: int
    tokens: int
    streams: int


class Peers:
    """The other processes, and what all together have used, as far as this one knows."""

    def __init__(self, channel: Channel | None, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._workers = workers
        self._name = channel.process if channel is not None else ""
        # By process: the gatherings since it was heard.
        self._silent_for: dict[str, int] = {}
        self._known: dict[str, Used] = {}
        self._to_tell: dict[str, Used] = {}
        # Written by the channel's thread alone; `_known` and `_to_tell` by the event loop's.
        self._heard: dict[str, Used] = {}
        self._channel = channel
        if channel is not None:
            channel.on(NEWS, self._hear)
            channel.every_second(self._tell)

    def learn(self, scope: Scope, requests: int, tokens: int, streams: int) -> None:
        """Redis has said what `scope` has used."""
        used = Used(self._clock(), requests, tokens, streams)
        known = self._known
        known.pop(scope.ref, None)
        known[scope.ref] = used
        if len(known) > MOST_KNOWN:
            del known[next(iter(known))]
        if self._channel is not None and any(
            getattr(used, unit) * WORTH > (getattr(scope, unit) or float("inf")) for unit in UNITS
        ):
            self._to_tell[scope.ref] = used

    def used(self, ref: str) -> Used | None:
        """The latest that is known of what a scope has used."""
        told, heard = self._known.get(ref), self._heard.get(ref)
        if told is None or (heard is not None and heard.at > told.at):
            return heard
        return told

    def place(self) -> tuple[int, int]:
        """How many processes there are, and which of them this one is, from 0."""
        names = sorted([self._name, *self._silent_for])
        return max(len(names), self._workers), names.index(self._name)

    def _tell(self) -> None:
        """In the channel's thread, each second while Redis is there."""
        for name, silent_for in list(self._silent_for.items()):
            if silent_for >= SILENT:
                del self._silent_for[name]
            else:
                self._silent_for[name] = silent_for + 1
        told, self._to_tell = self._to_tell, {}
        news = [[ref, one.requests, one.tokens, one.streams] for ref, one in list(told.items())[-MOST_NEWS:]]
        if self._channel is not None:
            self._channel.publish(NEWS, news)

    def _hear(self, process: str, news: list[tuple[str, int, int, int]]) -> None:
        self._silent_for[process] = 0
        now = self._clock()
        for ref, requests, tokens, streams in news:
            self._heard.pop(ref, None)
            self._heard[str(ref)] = Used(now, int(requests), int(tokens), int(streams))
        while len(self._heard) > MOST_KNOWN:
            del self._heard[next(iter(self._heard))]


class Outage:
    """A time without Redis, from its beginning: this process's `Share` of each limit."""

    def __init__(self, counts: Counts, peers: Peers) -> None:
        self.began = counts.clock()
        self._counts = counts
        self._peers = peers
        self._processes, self._rank = peers.place()
        self._kept: dict[tuple[str, Unit, int], int] = {}

    def of(self, scope: Scope, now: float) -> Scope:
        """`scope` with what this process may have of its limits at `now`."""
        mine: dict[str, int] = {}
        for unit in UNITS:
            whole: int | None = getattr(scope, unit)
            if whole is not None:
                mine[unit] = self._limit(scope, unit, whole, now)
        return replace(scope, **mine)  # type: ignore[arg-type]

    def _limit(self, scope: Scope, unit: Unit, whole: int, now: float) -> int:
        key = (scope.ref, unit, whole)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self._first(scope, unit, whole)
        window = STREAMS_WINDOW if unit == "streams" else scope.window
        age = now - self.began
        if age < window:
            return kept
        equal = self._part(whole)
        return min(kept, equal) if age < 2 * window else equal

    def _first(self, scope: Scope, unit: Unit, whole: int) -> int:
        """What it had of `whole` itself, and its part of what nobody had."""
        counted = self._counts.within(scope, self._counts.clock())
        own = len(counted.streams) if unit == "streams" else getattr(counted, unit)
        used = self._peers.used(scope.ref)
        known = used is not None and used.at > self.began - scope.window
        total = max(own, getattr(used, unit) if known else 0)
        return min(whole, own + self._part(max(0, whole - total)))

    def _part(self, whole: int) -> int:
        """This process's part of `whole`; all parts together are it."""
        return whole // self._processes + (self._rank < whole % self._processes)
