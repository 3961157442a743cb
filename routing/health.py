"""How the targets are: what `routing.providers.reach` reports of each attempt, and what a policy reads of it.

All in this process's memory: nothing here waits, and a request pays some two microseconds for it. Where there is a
Redis, `routing.health_sharing` tells the other processes, and this one what they found.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable

from analytics import metrics
from keys.vault import Secret
from routing.breaker import CLOSED, OPEN, REFUSED
from routing.flight import Flight
from routing.providers.base import Target
from routing.target_state import Clock, Key, TargetState

# A client may name any model of a provider: of so many targets, the half that was asked longest ago is forgotten.
MANY = 2000


def credential(secret: Secret | None, base_url: str) -> str:
    """What a provider refused, so that a change of it is seen: it tells nothing of the secret itself."""
    mark = secret.mark if secret is not None else ""
    return hashlib.blake2s(f"{mark} {base_url}".encode(), digest_size=12).hexdigest()


def _unchanged(provider_id: str) -> str | None:
    return None


class Health:
    """The live state of the targets that were asked. `clock` gives seconds that only grow."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._states: dict[Key, TargetState] = {}
        self._creating = threading.Lock()
        # The credential that a provider has now, None when it is not known; see `routing.snapshot`.
        self.credential_of: Callable[[str], str | None] = _unchanged
        # Called when a breaker opened, closed, or sends its probe.
        self.on_change: Callable[[TargetState], None] | None = None
        self.sharing = False

    def state(self, key: Key) -> TargetState | None:
        """What is known of a target, by its `Target.key`; None when it was never asked, or long ago."""
        state = self._states.get(key)
        if state is not None and state.switch.denied is not None:
            self._look_again(state)
        return state

    def states_of(self, keys: Iterable[Key]) -> list[TargetState | None]:
        """What `state` says of each of these."""
        found = list(map(self._states.get, keys))
        for state in found:
            if state is not None and state.switch.denied is not None:
                self._look_again(state)
        return found

    def states(self) -> list[TargetState]:
        """All of them."""
        return list(self._states.values())

    def available(self, key: Key, now: float) -> bool:
        """Whether a target may be asked at `now`; False while its breaker is open and not due for a probe.

        One that has fallen silent is found out here: nothing happens that could tell of it.
        """
        state = self.state(key)
        if state is None:
            return True
        if state.switch.state == CLOSED:
            silence = state.silent(now)
            if not silence:
                return True
            state.switch.fell_silent(now, f"it has answered nobody for {silence:.1f} s")
            self.changed(state)
        return state.switch.available(now)

    def begin(self, target: Target, *, stream: bool, last_resort: bool = False) -> Flight | None:
        """Leave to send a request to `target`, which may be the half-open breaker's one probe; None when it rests.

        As a `last_resort` it is asked although its breaker is open, unless it refuses our secret. Whoever is given
        a flight must end it.
        """
        state = self.state(target.key) or self.made(target.key, target.kind.id)
        now = self.clock()
        probe = state.switch.claim(now)
        if probe == REFUSED:
            if not last_resort or state.denied:
                return None
            probe = 0
        if probe:
            self.changed(state)
        return Flight(self, state, now, probe, stream=stream)

    def changed(self, state: TargetState) -> None:
        """A breaker opened, closed, or sends its probe: count it, and tell whoever wants to know."""
        if state.breaker == OPEN:
            metrics.breaker_opened(state.kind)
        if self.on_change is not None:
            self.on_change(state)

    def made(self, key: Key, kind: str) -> TargetState:
        """The state of a target of a provider of `kind`, made when there is none."""
        with self._creating:
            state = self._states.get(key)
            if state is None:
                if len(self._states) >= MANY:
                    self._forget()
                state = self._states[key] = TargetState(key, kind, self.clock)
                state.used_at = self.clock()
                if self.sharing:
                    state.share()
            return state

    def share(self) -> None:
        """Gather what other processes are to be told, from now on."""
        self.sharing = True
        for state in self.states():
            state.share()

    def _forget(self) -> None:
        """Keep what has requests under way, and of the rest the half that was asked last."""
        idle = sorted((state for state in self._states.values() if not state.under_way), key=lambda each: each.used_at)
        for state in idle[: len(idle) // 2 + 1]:
            del self._states[state.key]

    def _look_again(self, state: TargetState) -> None:
        """Close the breaker of a target whose provider refused a credential that it no longer has."""
        now_has = self.credential_of(state.key[0])
        if now_has is not None and now_has != state.switch.denied:
            state.switch.renew(self.clock())
            state.recovered()
            self.changed(state)


current = Health()
