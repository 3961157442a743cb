"""What is remembered of a target's answers: figures that fade, so that what it did lately counts most."""

import math
from collections import deque

# Seconds after which an answer counts half: soon for failures, which pass; later for speed, which is the model's own.
RATE_HALF_LIFE = 30.0
SPEED_HALF_LIFE = 120.0
# Answers taken for granted at any time, so that a single failure is no rate of 100 %, and an old one fades to none.
GIVEN = 2.0
# Failures that have faded to less than this are none.
NOTHING = 1e-3

# Of the times to the first byte: how many are kept, and from how many on they tell something.
KEPT = 64
ENOUGH = 20
# A target is silent when so many wait, for so many seconds and so many times the longest of those times, and none has
# heard anything: with time-outs of minutes, hundreds would wait before the first of them failed.
SILENT_REQUESTS, SILENCE, SILENCE_FACTOR = 3, 0.5, 3.0


class Rate:
    """The decayed share of failures, 0 to 1."""

    __slots__ = ("_at", "_bad", "_good")

    def __init__(self) -> None:
        self._good = self._bad = 0.0
        self._at = 0.0

    def add(self, now: float, good: float, bad: float) -> None:
        """So many answers were good, so many were not."""
        self._fade(now)
        self._good += good
        self._bad += bad

    def value(self, now: float) -> float:
        """The share at `now`."""
        if not self.any:
            return 0.0
        self._fade(now)
        return self._bad / (self._good + self._bad + GIVEN)

    @property
    def any(self) -> bool:
        """Whether a failure is remembered."""
        return self._bad >= NOTHING

    def weight(self, now: float) -> float:
        """How many answers are remembered, the faded ones as fractions."""
        self._fade(now)
        return self._good + self._bad

    def forgive(self) -> None:
        """Begin anew: what failed, failed in a state that is over."""
        self._good = self._bad = 0.0

    def _fade(self, now: float) -> None:
        elapsed = now - self._at
        if elapsed > 0.0:
            factor = 2.0 ** (-elapsed / RATE_HALF_LIFE)
            self._good *= factor
            self._bad *= factor
            self._at = now


class Mean:
    """A decayed mean; `value` is None until there is something to average."""

    __slots__ = ("_at", "_sum", "_weight", "value")

    def __init__(self) -> None:
        self._sum = self._weight = self._at = 0.0
        self.value: float | None = None

    def add(self, now: float, value: float, weight: float = 1.0) -> None:
        """One more value, or the mean of `weight` values."""
        factor = 2.0 ** (-max(now - self._at, 0.0) / SPEED_HALF_LIFE)
        self._sum = self._sum * factor + value * weight
        self._weight = self._weight * factor + weight
        self._at = now
        self.value = self._sum / self._weight


class Window:
    """The latest times to the first byte, in seconds, and who waits for one now."""

    __slots__ = ("_heard_at", "_latest", "_p95", "_silent_since", "_waiting")

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=KEPT)
        self._p95: float | None = None
        # Requests sent since the last first byte, and when the first of them was.
        self._waiting = 0
        self._silent_since = 0.0
        self._heard_at = float("-inf")

    def sent(self, now: float) -> None:
        """One more waits."""
        if not self._waiting:
            self._silent_since = now
        self._waiting += 1

    def heard(self, now: float, seconds: float) -> None:
        """A first byte came, after so many seconds."""
        self._waiting = 0
        self._heard_at = now
        self.add(seconds)

    def dropped(self, began: float) -> None:
        """One that was sent at `began` waits no more, and has heard nothing."""
        if self._waiting and began >= self._heard_at:
            self._waiting -= 1

    def add(self, seconds: float) -> None:
        """One more time, or how long it had been waited for when nobody waited any longer."""
        self._latest.append(seconds)
        self._p95 = None

    def silent(self, now: float) -> float:
        """For how long several have waited in vain, where that is much longer than it ever took; else 0."""
        if self._waiting < SILENT_REQUESTS or len(self._latest) < ENOUGH:
            return 0.0
        silence = now - self._silent_since
        return silence if silence > SILENCE and silence > SILENCE_FACTOR * self.longest() else 0.0

    def longest(self) -> float:
        """The longest of them; 0 while there is none."""
        return max(self._latest, default=0.0)

    def p95(self) -> float | None:
        """What 19 of 20 did not exceed; None while there are too few."""
        if len(self._latest) < ENOUGH:
            return None
        if self._p95 is None:
            self._p95 = sorted(self._latest)[math.ceil(0.95 * len(self._latest)) - 1]
        return self._p95
