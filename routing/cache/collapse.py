"""Identical requests at the same moment: one of them asks, the others wait for its answer. Within one process.

Whoever waits is never worse off than alone: when the one who asks leaves, the next takes its place; when it fails, one
other tries (a failure may be its own, of its budget, say), and when that fails too, everybody asks for themselves; and
when its answer is not one to share, everybody does at once. For one event loop.
"""

import asyncio
from collections import deque

from routing.cache.answer import KeptAnswer

# Failures of those who lead, after which nobody waits for another one.
MOST_FAILURES = 2


class Run:
    """A request under way, and those who wait for its answer. Held by the one who asks."""

    __slots__ = ("failures", "key", "waiting")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.failures = 0
        # Each is told the answer, that it is to ask itself for all who wait (`Run`), or for itself alone (None).
        self.waiting: deque[asyncio.Future[KeptAnswer | Run | None]] = deque()


class Runs:
    """The requests under way, by key."""

    def __init__(self) -> None:
        self._runs: dict[bytes, Run] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def lead(self, key: bytes) -> Run | None:
        """A run for who is the first to ask this, and has to `end` it or `hand_on`; None when somebody asks already."""
        if key in self._runs:
            return None
        run = self._runs[key] = Run(key)
        return run

    async def turn(self, key: bytes, patience: float) -> KeptAnswer | Run | None:
        """The answer, once it is there; a `Run` for who is to ask for all who wait; None for who is to ask alone.

        Waits `patience` seconds at most.
        """
        run = self._runs.get(key)
        if run is None:
            return self.lead(key)
        told: asyncio.Future[KeptAnswer | Run | None] = asyncio.get_running_loop().create_future()
        run.waiting.append(told)
        try:
            async with asyncio.timeout(max(patience, 0.0)):
                return await told
        except TimeoutError:
            if told.done() and not told.cancelled():  # told in the same moment
                return told.result()
            run.waiting.remove(told)
            return None
        except asyncio.CancelledError:
            self._leave(run, told)
            raise

    def end(self, run: Run, answer: KeptAnswer | None = None) -> None:
        """The one who asked is done: here is the answer, or there is none to share."""
        self._runs.pop(run.key, None)
        for told in run.waiting:
            if not told.done():
                told.set_result(answer)
        run.waiting.clear()

    def hand_on(self, run: Run, *, failed: bool) -> None:
        """The one who asked has no answer: it failed, or its client left."""
        run.failures += failed
        if run.failures >= MOST_FAILURES:
            return self.end(run)
        while run.waiting:
            told = run.waiting.popleft()
            if not told.done():
                return told.set_result(run)
        self._runs.pop(run.key, None)

    def _leave(self, run: Run, told: "asyncio.Future[KeptAnswer | Run | None]") -> None:
        """Whoever waited for `told` waits no more, and may have been told to lead in the same moment."""
        if told.done() and not told.cancelled() and told.result() is run:
            self.hand_on(run, failed=False)
        elif told in run.waiting:
            run.waiting.remove(told)
