"""The running event loop, for what is done in every request."""

import asyncio
import threading


class _Here(threading.local):
    loop: asyncio.AbstractEventLoop | None = None


_here = _Here()


def running_loop() -> asyncio.AbstractEventLoop:
    """As `asyncio.get_running_loop`, which asks the system for the process's id each time, in case it was forked.

    No process of ours forks while its loop runs. Raises `RuntimeError` where none runs.
    """
    loop = _here.loop
    if loop is None or not loop.is_running():
        loop = _here.loop = asyncio.get_running_loop()
    return loop
