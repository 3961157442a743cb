"""A sliding log: what was admitted and when, as far back as a window reaches."""

from collections import deque

# Entries up to which each admission has one of its own. Beyond them those of a `FINE`th of the window share one, dated
# at the end of that part: they expire a little late and never early, and memory does not grow with the limit.
FINE = 4096


class Entry:
    """Something admitted: when (by the clock of who counts), how much, and under which id ("" for several)."""

    __slots__ = ("at", "expired", "id", "weight")

    def __init__(self, at: float, weight: int, id_: str) -> None:
        self.at = at
        self.weight = weight
        self.id = id_
        self.expired = False


class Log:
    """What was admitted in the last `window` seconds, both ends included; `total` is its weight."""

    __slots__ = ("entries", "total")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.total = 0

    def expire(self, before: float) -> None:
        """Forget what is older."""
        entries = self.entries
        while entries and entries[0].at < before:
            gone = entries.popleft()
            gone.expired = True
            self.total -= gone.weight

    def add(self, at: float, weight: int, window: float, id_: str = "") -> Entry:
        """Count `weight` at `at`, which is now, and forget what is older than `window`."""
        entries = self.entries
        if entries and entries[0].at < at - window:
            self.expire(at - window)
        self.total += weight
        if entries and (last := entries[-1]).at >= at:
            last.weight += weight
            last.id = ""
            return last
        if len(entries) >= FINE:
            at, id_ = at + window / FINE, ""
        entry = Entry(at, weight, id_)
        entries.append(entry)
        return entry

    def correct(self, entry: Entry, by: int) -> None:
        """Count `by` more (or less) where `entry` was counted; what expired counts no more."""
        if not entry.expired:
            entry.weight += by
            self.total += by

    def wait(self, weight: int, limit: int, window: float, now: float) -> float:
        """Seconds after which `weight` fits under `limit`, if nothing else is admitted; it does from then on."""
        surplus = self.total + weight - limit
        if surplus <= 0:
            return 0.0
        for entry in self.entries:
            surplus -= entry.weight
            if surplus <= 0:
                return entry.at + window - now
        return window

    def since(self, moment: float) -> list[Entry]:
        """What was added at `moment` or later."""
        return [entry for entry in self.entries if entry.at >= moment]
