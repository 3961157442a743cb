"""Threads for work that waits: for the database, for a model, for whatever answers at a URL."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from django.db import connections

T = TypeVar("T")


class FairShare:
    """Threads of which one workspace's calls have `of_one` at a time: its further ones wait, in nobody else's way."""

    def __init__(self, threads: Executor, of_one: int) -> None:
        self._threads = threads
        self._of_one = of_one
        self._turns: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, workspace_id: UUID, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns, which may use the database."""
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(workspace_id, asyncio.Semaphore(self._of_one))
        await turn.acquire()
        try:
            running = self._threads.submit(with_database, work, *arguments)
        except BaseException:
            turn.release()
            raise
        # When the work ends, and not when its client leaves: the thread is taken until then.
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(turn.release))
        return await asyncio.wrap_future(running)


def with_database(work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns; the connection that it used goes back to the pool."""
    try:
        return work(*arguments)
    finally:
        connections.close_all()
