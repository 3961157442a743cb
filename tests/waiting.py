"""Waiting in an event loop for what happens beside it."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], bool], within: float = 8) -> None:
    """Returns when `condition` holds; fails when it does not within so many seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s"
        await asyncio.sleep(0.01)
