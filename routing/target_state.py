"""What is known of one target from asking it: its breaker, and how often and how fast it answers."""

from collections.abc import Callable
from typing import NamedTuple

from routing.breaker import CLOSED, Breaker
from routing.measures import SILENT_REQUESTS, Mean, Rate, Window

Key = tuple[str, str]
Clock = Callable[[], float]

# Seconds that a probe is waited for at least while another target could answer, and how many times the longest that
# the target took lately. Where nothing is known, the patience doubles with each probe that was too slow.
PROBE_PATIENCE, PROBE_FACTOR, UNKNOWN_PATIENCE = 3.0, 3.0, 5.0

# Seconds after which a target that failed, and that nobody has asked since, is given another chance.
RETEST_AFTER = 3.0

# A late answer is raced for one request in ten at most, however late they all are; ten may be saved up.
HEDGE_SHARE, HEDGES_SAVED = 0.1, 10.0

# Policies are told of a speed that moved by this share of itself: less changes no score that anybody sees, and until
# then the order of the targets can be kept.
MOVED = 0.01


class Outcomes:
    """What came of the requests since the other processes were last told: counts, and sums of so many values."""

    __slots__ = ("bad", "good", "speed", "speeds", "ttft_s", "ttfts")

    def __init__(self) -> None:
        self.good = self.bad = 0.0
        self.ttft_s = self.speed = 0.0
        self.ttfts = self.speeds = 0


class Speeds(NamedTuple):
    """Seconds to the first token, and tokens a second from there on: decayed means, None until measured."""

    ttft_s: float | None
    tokens_per_s: float | None


class TargetState:
    """One target's live state. The event loop's thread changes it; any may read."""

    __slots__ = (
        "_first_bytes", "_hedges", "_slow_probes", "_speed", "_ttft", "clock", "elsewhere", "key", "kind", "outcomes",
        "rate", "speeds", "switch", "under_way", "used_at",
    )  # fmt: skip

    def __init__(self, key: Key, kind: str, clock: Clock) -> None:
        self.key = key
        self.kind = kind
        self.clock = clock
        self.switch = Breaker()
        self.rate = Rate()
        # Requests that have not come to their end: this process's, and those that the others told of last.
        self.under_way = self.elsewhere = 0
        self.used_at = 0.0
        # Gathered only where other processes are told (`routing.health_sharing`).
        self.outcomes: Outcomes | None = None
        self._ttft, self._speed = Mean(), Mean()
        # As policies know them.
        self.speeds: Speeds | None = None
        # Of streams, and of whole answers: those have their first byte when the last token is made.
        self._first_bytes: dict[bool, Window] = {}
        self._hedges = 0.0
        self._slow_probes = 0

    @property
    def breaker(self) -> str:
        """`closed`, `open` or `half_open`."""
        return self.switch.state

    @property
    def reason(self) -> str:
        """Why the breaker is not closed, for a person; "" when it is."""
        return self.switch.reason

    @property
    def retry_at(self) -> float:
        """When the next probe may be sent, by the health's clock; infinite when the operator has to mend something."""
        return self.switch.retry_at

    @property
    def denied(self) -> bool:
        """Whether the provider refuses the secret, so that there is no sense in asking before it was changed."""
        return self.switch.denied is not None

    @property
    def in_flight(self) -> int:
        """Requests under way to it."""
        return self.under_way + self.elsewhere

    @property
    def error_rate(self) -> float:
        """The decayed share of failed requests, 0 to 1; those that were the client's own fault do not count."""
        return self.rate.value(self.clock())

    @property
    def risk(self) -> float:
        """The error rate as far as it is to turn requests away, 0 to 1.

        None while the breaker is not closed, which turns them away itself. And none when nobody has asked for a
        while: a target that others go before would be asked no more, and never show that it is well again.
        """
        if not self.rate.any or self.switch.state != CLOSED:
            return 0.0
        now = self.clock()
        return 0.0 if now - self.used_at >= RETEST_AFTER else self.rate.value(now)

    def is_retest(self, now: float) -> bool:
        """Whether a request that is sent now finds out whether it is well again."""
        return self.rate.any and self.switch.state == CLOSED and now - self.used_at >= RETEST_AFTER

    @property
    def ttft_s(self) -> float | None:
        """Seconds to the first token, decayed mean; None until measured."""
        return self._ttft.value

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second from the first one on, decayed mean; None until measured."""
        return self._speed.value

    def p95(self, *, stream: bool) -> float | None:
        """Seconds that 19 of 20 first bytes of streams, or of whole answers, took at most; None for too few."""
        window = self._first_bytes.get(stream)
        return None if window is None else window.p95()

    def patience(self, *, stream: bool) -> float:
        """Seconds that a probe's first byte is worth waiting for while another target could answer."""
        window = self._first_bytes.get(stream)
        longest = window.longest() if window is not None else 0.0
        if not longest:
            return UNKNOWN_PATIENCE * 2.0 ** min(self._slow_probes, 10)
        return max(PROBE_PATIENCE, PROBE_FACTOR * longest)

    def share(self) -> None:
        """Gather what is told to other processes from now on."""
        self.outcomes = Outcomes()

    def asked(self, now: float, *, stream: bool) -> Window:
        """A request is sent. Where its wait for the first byte is to be entered."""
        self.under_way += 1
        self.used_at = now
        if self._hedges < HEDGES_SAVED:
            self._hedges += HEDGE_SHARE
        window = self._first_bytes.get(stream)
        if window is None:
            window = self._first_bytes[stream] = Window()
        window.sent(now)
        return window

    def too_slow(self) -> None:
        """A probe's patience ran out."""
        self._slow_probes += 1

    def recovered(self) -> None:
        """A probe or a retest was answered: what failed before it is over."""
        self.rate.forgive()
        self._slow_probes = 0

    def may_hedge(self) -> bool:
        """Whether a late answer may be raced now; each that is uses up a part of what is allowed."""
        if self._hedges < 1.0:
            return False
        self._hedges -= 1.0
        return True

    def silent(self, now: float) -> float:
        """Seconds for which it has answered nobody, where that is much longer than it ever took; else 0."""
        if self.under_way >= SILENT_REQUESTS:
            for window in self._first_bytes.values():
                if silence := window.silent(now):
                    return silence
        return 0.0

    def measured(self, now: float, *, ttft_s: float | None = None, tokens_per_s: float | None = None) -> None:
        """A speed that was measured."""
        outcomes = self.outcomes
        if ttft_s is not None:
            self._ttft.add(now, ttft_s)
            if outcomes is not None:
                outcomes.ttft_s += ttft_s
                outcomes.ttfts += 1
        if tokens_per_s is not None:
            self._speed.add(now, tokens_per_s)
            if outcomes is not None:
                outcomes.speed += tokens_per_s
                outcomes.speeds += 1
        self._tell()

    def count(self, now: float, *, failed: bool) -> None:
        """A request came to its end."""
        good, bad = (0.0, 1.0) if failed else (1.0, 0.0)
        self.rate.add(now, good, bad)
        if self.outcomes is not None:
            self.outcomes.good += good
            self.outcomes.bad += bad

    def add_elsewhere(self, now: float, outcomes: Outcomes) -> None:
        """What other processes' requests came to."""
        self.rate.add(now, outcomes.good, outcomes.bad)
        if outcomes.ttfts:
            self._ttft.add(now, outcomes.ttft_s / outcomes.ttfts, outcomes.ttfts)
        if outcomes.speeds:
            self._speed.add(now, outcomes.speed / outcomes.speeds, outcomes.speeds)
        self._tell()

    def _tell(self) -> None:
        ttft, speed, known = self._ttft.value, self._speed.value, self.speeds
        if known is None or _moved(known.ttft_s, ttft) or _moved(known.tokens_per_s, speed):
            self.speeds = Speeds(ttft, speed)


def _moved(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > MOVED * before
