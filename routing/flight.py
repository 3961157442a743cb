"""One attempt under way at a target: whoever sends it says here what became of it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routing.health import Health
    from routing.target_state import TargetState

# A whole answer comes with its head, so a short one tells the time to the first token, a long one the tokens a second.
SHORT_ANSWER = 16
# A stream shorter than this many seconds came in one piece and tells no speed.
LEAST_STREAM = 0.02


class Flight:
    """Made by `Health.begin`. Ends with the first of `completed`, `broke_off`, `failed`, `refused`, `limited`,
    `denied`, `lost` and `given_up`; what is said later is not heard, so a `finally` may give up what ended.
    """

    __slots__ = ("_first_byte_at", "_health", "_window", "began", "ended", "probe", "retest", "state", "stream")

    def __init__(self, health: Health, state: TargetState, began: float, probe: int, *, stream: bool) -> None:
        self._health = health
        self.state = state
        self.began = began
        # The number of the half-open breaker's probe, 0 when it is none.
        self.probe = probe
        self.retest = not probe and state.is_retest(began)
        self.stream = stream
        self.ended = False
        self._first_byte_at = 0.0
        self._window = state.asked(began, stream=stream)

    @property
    def is_trial(self) -> bool:
        """Whether it finds out if the target is well again."""
        return self.probe > 0 or self.retest

    def first_byte(self) -> None:
        """The answer began. A whole answer is there with that."""
        now = self._first_byte_at = self._health.clock()
        self._window.heard(now, now - self.began)
        if self.stream:
            self.state.measured(now, ttft_s=now - self.began)
        self._alive(now)

    def completed(self, tokens: int) -> None:
        """The answer is there to its end, with so many completion tokens."""
        if self.ended:
            return
        now = self._end()
        self.state.count(now, failed=False)
        took = now - self._first_byte_at
        if not self.stream:
            took = self._first_byte_at - self.began
            if tokens < SHORT_ANSWER:
                self.state.measured(now, ttft_s=took)
                return
            took = max(took - (self.state.ttft_s or 0.0), took / 2)
        if tokens > 1 and took >= LEAST_STREAM:
            self.state.measured(now, tokens_per_s=tokens / took)

    def broke_off(self, reason: str) -> None:
        """The answer began and was not brought to its end, by the provider's fault."""
        self.failed(reason)

    def failed(self, reason: str, *, retry_after: float | None = None, too_slow: bool = False) -> None:
        """There was no answer, or a wrong one, by the provider's fault. `reason` follows the target's name."""
        if self.ended:
            return
        now = self._end()
        state = self.state
        if not state.switch.concerns(self.began, self.probe):
            return
        state.count(now, failed=True)
        if too_slow and self.is_trial:
            state.too_slow()
        if state.switch.failed(now, self.began, self.probe, state.rate, reason, retry_after):
            self._health.changed(state)

    def refused(self) -> None:
        """The request was refused for a reason of its own: the target is alive, and that is all it tells."""
        if not self.ended:
            self._alive(self._end())

    def limited(self, reason: str, retry_after: float | None) -> None:
        """The provider limits our rate (429)."""
        if not self.ended and self.state.switch.limited(self._end(), self.probe, reason, retry_after):
            self._health.changed(self.state)

    def denied(self, credential: str, reason: str) -> None:
        """The provider refuses the credential that was sent (401, 403)."""
        if not self.ended and self.state.switch.deny(self._end(), credential, reason):
            self._health.changed(self.state)

    def lost(self) -> None:
        """Another target answered first: this one was cancelled, and had taken longer than that already."""
        if not self.ended:
            if not self._first_byte_at:
                self._window.add(self._health.clock() - self.began)
            self.given_up()

    def given_up(self) -> None:
        """The client left, or nobody waits any more: that says nothing about the target. A probe is free again."""
        if not self.ended:
            now = self._end()
            self.state.switch.release(now, self.probe)

    def _end(self) -> float:
        self.ended = True
        self.state.under_way -= 1
        if not self._first_byte_at:
            self._window.dropped(self.began)
        return self._health.clock()

    def _alive(self, now: float) -> None:
        if self.state.switch.answered(now, self.began, self.probe):
            self.state.recovered()
            self._health.changed(self.state)
        elif self.retest:
            self.state.recovered()
