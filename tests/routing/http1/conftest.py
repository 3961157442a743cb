"""The client's tests run on both event loops: the gateway has uvloop, its worker and its tools asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from routing.http1 import Pool
from tests.routing.http1.server import pool


def pytest_asyncio_loop_factories(item: pytest.Function) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both; asyncio's alone for tests that say what a name leads to: uvloop asks the C library itself."""
    both: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop,
        "uvloop": uvloop.new_event_loop,
    }
    return {"asyncio": both["asyncio"]} if "names" in item.fixturenames else both


@pytest.fixture
async def client() -> AsyncIterator[Pool]:
    found = pool()
    yield found
    await found.close()
