"""Identical requests at the same moment: one of them asks, the others have its answer. Within one process.

Who wants a stream, and waits for one, listens to it while it is made (`broadcast`); all others wait for the end.
Whoever waits is never worse off than alone, and is told no refusal but its own: when the one who asks leaves, or has no
budget for it, the next takes its place; when it fails, one other tries, and when that fails too, everybody asks for
themselves; and when its answer is not one to share, everybody does at once. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from routing.cache.answer import KeptAnswer
from routing.cache.broadcast import Broadcast

# Failures of those who lead, after which nobody waits for another one.
MOST_FAILURES = 2


class Run:
    """A request under way, and those who wait for its answer. Held by the one who asks."""

    __slots__ = ("broadcast", "failures", "key", "waiting")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.failures = 0
        self.waiting: deque[Waiter] = deque()
        # Its answer, where that is a stream and has begun.
        self.broadcast: Broadcast | None = None

    def let_in(self, broadcast: Broadcast) -> None:
        """Those who want a stream listen to `broadcast` from now on."""
        for waiter in [waiter for waiter in self.waiting if waiter.streams]:
            self.waiting.remove(waiter)
            if not waiter.told.done():
                broadcast.enter()
                waiter.told.set_result(broadcast)


# What whoever waits is told: the answer; a stream that it now listens to; that it is to ask for all who wait; or for
# itself alone.
Turn = KeptAnswer | Broadcast | Run | None


class Waiter(NamedTuple):
    """Somebody who waits, and whether for a stream."""

    told: asyncio.Future[Turn]
    streams: bool


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

    async def turn(self, key: bytes, patience: float, *, streams: bool = False) -> Turn:
        """What becomes of who wants what somebody asks for already; a `Broadcast` is one to `leave`.

        Waits `patience` seconds at most.
        """
        run = self._runs.get(key)
        if run is None:
            return self.lead(key)
        waiter = Waiter(asyncio.get_running_loop().create_future(), streams)
        run.waiting.append(waiter)
        if run.broadcast is not None:
            run.broadcast.wanted()
        try:
            async with asyncio.timeout(max(patience, 0.0)):
                return await waiter.told
        except TimeoutError:
            if waiter.told.done() and not waiter.told.cancelled():  # told in the same moment
                return waiter.told.result()
            _leave(run, waiter)
            return None
        except asyncio.CancelledError:
            told = waiter.told.result() if waiter.told.done() and not waiter.told.cancelled() else None
            if isinstance(told, Run):
                self.hand_on(told, failed=False)
            elif isinstance(told, Broadcast):
                told.leave()
            _leave(run, waiter)
            raise

    def end(self, run: Run, answer: KeptAnswer | None = None) -> None:
        """The one who asked is done: here is the answer, or there is none to share."""
        self._runs.pop(run.key, None)
        for waiter in run.waiting:
            if not waiter.told.done():
                waiter.told.set_result(answer)
        run.waiting.clear()

    def hand_on(self, run: Run, *, failed: bool) -> None:
        """The one who asked has no answer: it failed, or the reason is its own alone."""
        run.failures += failed
        run.broadcast = None
        if run.failures >= MOST_FAILURES:
            return self.end(run)
        while run.waiting:
            waiter = run.waiting.popleft()
            if not waiter.told.done():
                return waiter.told.set_result(run)
        self._runs.pop(run.key, None)


def _leave(run: Run, waiter: Waiter) -> None:
    """`waiter` waits no more; a stream that went on for it alone ends."""
    if waiter in run.waiting:
        run.waiting.remove(waiter)
        if run.broadcast is not None:
            run.broadcast.unwanted()
