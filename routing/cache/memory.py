"""The answers that this process holds: at most so many, of at most so many bytes, and each for its time.

The one that was not asked for for longest makes room. Read and written by the event loop, purged by other threads.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from routing.cache.answer import KeptAnswer

# Of all bytes, what one answer may take: a large one must not push out everything else.
LARGEST_SHARE = 16


class Memory:
    """`clock` gives seconds that only grow, so that a system clock which is set back prolongs nothing."""

    def __init__(self, most_answers: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_answers, self.most_bytes = most_answers, most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        # With the moment until which each one may be given.
        self._held: OrderedDict[bytes, tuple[float, KeptAnswer]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes) -> KeptAnswer | None:
        """The answer under `key`, which is the last to go from now on; None when there is none, or its time is over."""
        found = self._held.get(key)
        if found is None:
            return None
        until, answer = found
        with self._lock:
            if until <= self._clock():
                self._drop(key)
                return None
            if key in self._held:  # a purge may have been quicker
                self._held.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: KeptAnswer, seconds: float) -> bool:
        """Hold `answer` for so long. False for one that is too large."""
        size = answer.size
        if self.most_answers <= 0 or size * LARGEST_SHARE > self.most_bytes or seconds <= 0:
            return False
        until, held = self._clock() + seconds, self._held
        with self._lock:
            if key in held:
                self._drop(key)
            held[key] = (until, answer)
            self.bytes += size
            while len(held) > self.most_answers or self.bytes > self.most_bytes:
                _, (_, oldest) = held.popitem(last=False)
                self.bytes -= oldest.size
        return True

    def answers(self) -> dict[bytes, KeptAnswer]:
        """Those whose time is not over, by key."""
        with self._lock:
            now = self._clock()
            return {key: answer for key, (until, answer) in self._held.items() if until > now}

    def remove(self, matches: Callable[[KeptAnswer], bool]) -> set[bytes]:
        """Forget those that match; the keys of those."""
        with self._lock:
            gone = {key for key, (_, answer) in self._held.items() if matches(answer)}
            for key in gone:
                self._drop(key)
        return gone

    def drop(self, key: bytes) -> None:
        """Forget the answer under `key`, if there is one."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self.bytes = 0

    def _drop(self, key: bytes) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self.bytes -= found[1].size
