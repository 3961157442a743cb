"""A sliding log: what was admitted and when, as far back as a window reaches."""

from collections import deque
from typing import Literal

# What a log counts.
Weighed = Literal["requests", "tokens"]

# Entries up to which each admission has one of its own. Beyond them those of a `FINE`th of the window share one, dated
# at the end of that part: they expire a little late and never early, and memory does not grow with the limit.
FINE = 4096


class Entry:
    """What was admitted: when (by the clock of who counts), how much, and under which id ("" for several)."""

    __slots__ = ("at", "expired", "id", "requests", "tokens")

    def __init__(self, at: float, tokens: int, id_: str) -> None:
        self.at = at
        self.requests = 1
        self.tokens = tokens
        self.id = id_
        self.expired = False


class Log:
    """The requests that were admitted in the last `window` seconds, both ends included, and all of their tokens."""

    __slots__ = ("entries", "requests", "tokens")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.requests = 0
        self.tokens = 0

    def expire(self, before: float) -> None:
        """Forget what is older."""
        entries = self.entries
        while entries and entries[0].at < before:
            gone = entries.popleft()
            gone.expired = True
            self.requests -= gone.requests
            self.tokens -= gone.tokens

    def add(self, at: float, tokens: int, window: float, id_: str = "") -> Entry:
        """Count a request of so many tokens at `at`, which is now; what is older than `window` was forgotten."""
        entries = self.entries
        self.requests += 1
        self.tokens += tokens
        if entries and (last := entries[-1]).at >= at:
            last.requests += 1
            last.tokens += tokens
            last.id = ""
            return last
        if len(entries) >= FINE:
            at, id_ = at + window / FINE, ""
        entry = Entry(at, tokens, id_)
        entries.append(entry)
        return entry

    def correct(self, entry: Entry, by: int) -> None:
        """Count `by` tokens more (or less) where `entry` was counted; what expired counts no more."""
        if not entry.expired:
            entry.tokens += by
            self.tokens += by

    def until(self, what: Weighed, more: int, limit: int, window: float, now: float) -> float:
        """Seconds after which `more` fits under `limit`, if nothing else is admitted; it does from then on."""
        surplus: int = getattr(self, what) + more - limit
        if surplus <= 0:
            return 0.0
        for entry in self.entries:
            surplus -= getattr(entry, what)
            if surplus <= 0:
                return entry.at + window - now
        return window

    def since(self, moment: float) -> list[Entry]:
        """What was added at `moment` or later."""
        return [entry for entry in self.entries if entry.at >= moment]
