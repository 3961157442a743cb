"""Which targets have just failed. A target that fails rests, and others are asked first meanwhile."""

import time

from routing.providers.base import Target

# Seconds a target rests after a failure, unless its provider said how long.
REST = 5.0
LONGEST_REST = 60.0
# A client may name any model of a provider, so what rests no more is forgotten when there are so many targets.
MANY = 1000


class Health:
    """The resting targets of this process. A resting target is still asked when there is no other."""

    def __init__(self) -> None:
        self._resting: dict[tuple[str, str], float] = {}
        self._too_many = MANY

    def failed(self, target: Target, retry_after: float | None = None) -> None:
        """`target` failed: it rests `REST` seconds, or `retry_after`, up to `LONGEST_REST`."""
        rest = min(retry_after or REST, LONGEST_REST)
        now = time.monotonic()
        if len(self._resting) >= self._too_many:
            self._resting = {resting: until for resting, until in self._resting.items() if until > now}
            self._too_many = max(MANY, 2 * len(self._resting))
        self._resting[target.provider_id, target.model] = now + rest

    def answered(self, target: Target) -> None:
        """`target` answered, so it is well."""
        if self._resting:
            self._resting.pop((target.provider_id, target.model), None)

    def well_first(self, targets: list[Target]) -> list[Target]:
        """`targets` with the resting ones last; the order is otherwise kept."""
        if not self._resting:
            return targets
        now = time.monotonic()
        return sorted(targets, key=lambda target: self._resting.get((target.provider_id, target.model), 0.0) > now)


current = Health()
