"""A circuit breaker for one target: may it be asked, and what does an answer, or none, change about that?

Pure: the time is handed in, in seconds of whatever clock, so that tests can let it pass. Three states:

    closed     ──(too many failures, a rate limit, a refused secret)──▶  open
    open       ──(the cool-down is over and somebody claims the probe)──▶  half-open
    half-open  ──(the probe is answered)──▶  closed     (it fails)──▶  open, for longer     (it is given up)──▶  open

Only what began in the present state says something about it: an answer to a request of before the failure does not
close the breaker, and a late time-out of before the recovery does not open it again.
"""

from routing.measures import Rate

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"

# Failures in a row that open it, or the decayed share of failures from a weight on. Three, so that fewer than five
# requests feel a dead target; and one that fails a call in four costs more calls than its fallbacks would, while one
# that fails a call in twenty is left alone. A target without an alternative is asked although it is open.
FAILURES = 3
SHARE, SHARE_WEIGHT = 0.25, 10.0
# Seconds it stays open, doubled each time until it has stayed closed for a while. With a probe's own patience
# (`routing.target_state`) the longest is short enough for traffic to be back within ten seconds of a recovery.
COOL_DOWN, LONGEST_COOL_DOWN = 1.0, 5.0
CALM = 10.0
# Seconds that a provider's Retry-After is believed: it may lie, or mean a limit that others have lifted since.
LONGEST_RETRY_AFTER = 60.0

REFUSED = -1  # what `claim` answers when the target may not be asked; 0 is a plain leave, above it is a probe's number


class Breaker:
    """The state, since when, why, and until when."""

    __slots__ = (
        "_cool_down", "_in_a_row", "_probe", "_probes", "_silent", "_since", "denied", "reason", "retry_at", "state",
    )  # fmt: skip

    def __init__(self) -> None:
        self.state = CLOSED
        # Why it is not closed, in plain words for a person; "" when it is.
        self.reason = ""
        # When the next probe may be sent.
        self.retry_at = 0.0
        # The credential that the provider refused: open until there is another. See `routing.health.credential`.
        self.denied: str | None = None
        self._in_a_row = 0
        self._cool_down = COOL_DOWN
        self._probe = self._probes = 0
        # Whether it was opened because nobody heard anything.
        self._silent = False
        self._since = float("-inf")

    def available(self, now: float) -> bool:
        """Whether a request may be sent: False while it is open and not due for a probe, or a probe is under way."""
        return self.state == CLOSED or (self.state == OPEN and self.denied is None and now >= self.retry_at)

    def claim(self, now: float) -> int:
        """Leave to send a request: 0 when closed, the number of the probe when it is one, or `REFUSED`.

        Whoever is given a probe must end it: by `answered`, `failed`, `limited`, `deny` or `release`.
        """
        if self.state == CLOSED:
            return 0
        if not self.available(now):
            return REFUSED
        self.state, self._since = HALF_OPEN, now
        self._probes += 1
        self._probe = self._probes
        return self._probe

    def answered(self, now: float, began: float, probe: int) -> bool:
        """The target began to answer what was sent at `began`. True when that closed the breaker."""
        if self.state == CLOSED:
            if began >= self._since:
                self._in_a_row = 0
                if now - self._since >= CALM:
                    self._cool_down = COOL_DOWN
            return False
        if self.denied is not None or not (self._silent or self.concerns(began, probe)):
            return False
        self.close(now)
        return True

    def failed(self, now: float, began: float, probe: int, rate: Rate, reason: str, retry_after: float | None) -> bool:
        """It did not answer, or not as it should. `rate` has counted that already. True when that opened it."""
        if self._holds(probe):
            self._open(now, reason, self._cool_down if retry_after is None else retry_after)
            return True
        if self.state != CLOSED or not self.concerns(began, probe):
            return False
        self._in_a_row += 1
        if retry_after is None and self._in_a_row < FAILURES:
            if rate.weight(now) < SHARE_WEIGHT or rate.value(now) < SHARE:
                return False
            reason = f"it often fails; the last time: {reason}"
        self._open(now, reason, self._cool_down if retry_after is None else retry_after)
        return True

    def fell_silent(self, now: float, reason: str) -> None:
        """Many wait for it and none has heard anything. Whoever hears something closes it."""
        self._open(now, reason, self._cool_down)
        self._silent = True

    def limited(self, now: float, probe: int, reason: str, retry_after: float | None) -> bool:
        """It limits our rate: a cool-down, but no failure. True when that opened it."""
        rest = self._cool_down if retry_after is None else retry_after
        if self.state == CLOSED or self._holds(probe):
            self._open(now, reason, rest)
            return True
        if self.denied is None and self.state == OPEN:
            self.retry_at = max(self.retry_at, now + min(rest, LONGEST_RETRY_AFTER))
        return False

    def deny(self, now: float, credential: str, reason: str) -> bool:
        """It refused `credential`: open until that changes. True when it was not open for that already."""
        if self.denied == credential:
            return False
        self._open(now, reason, 0.0)
        self.denied, self.retry_at = credential, float("inf")
        return True

    def release(self, now: float, probe: int) -> None:
        """A probe was given up and says nothing: another one may be sent at once."""
        if self._holds(probe):
            self.state, self._since, self._probe = OPEN, now, 0
            self.retry_at = now

    def close(self, now: float) -> None:
        """Ask it again. One more failure opens it again, until something but the probe was answered, too."""
        self._reset(now)
        self._in_a_row = FAILURES - 1

    def renew(self, now: float) -> None:
        """The operator changed what was wrong: as if it had never been asked."""
        self._reset(now)
        self._in_a_row, self._cool_down = 0, COOL_DOWN

    def open_as_told(self, now: float, reason: str, retry_in: float, credential: str | None) -> None:
        """Another process found it broken."""
        if credential is not None:
            self.deny(now, credential, reason)
        elif self.state == CLOSED:
            self._open(now, reason, retry_in)

    def close_as_told(self, now: float) -> bool:
        """Another process's probe was answered. True when that closed it here."""
        if self.state != OPEN or self.denied is not None:
            return False
        self.close(now)
        return True

    def put_off(self, until: float) -> None:
        """Another process sends a probe: its answer is waited for."""
        if self.state == OPEN and self.denied is None:
            self.retry_at = max(self.retry_at, until)

    def concerns(self, began: float, probe: int) -> bool:
        """Whether what began then says something about the present state."""
        return began >= self._since or self._holds(probe)

    def _holds(self, probe: int) -> bool:
        return self.state == HALF_OPEN and probe > 0 and probe == self._probe

    def _reset(self, now: float) -> None:
        self.state, self.reason, self.retry_at, self.denied = CLOSED, "", 0.0, None
        self._since, self._probe, self._silent = now, 0, False

    def _open(self, now: float, reason: str, rest: float) -> None:
        self.state, self.reason, self._since, self._probe, self.denied = OPEN, reason, now, 0, None
        self._silent = False
        self.retry_at = now + min(max(rest, 0.0), LONGEST_RETRY_AFTER)
        self._cool_down = min(self._cool_down * 2, LONGEST_COOL_DOWN)
