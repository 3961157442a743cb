"""The client's tests run on both event loops: the gateway has uvloop, its worker and its tools asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from routing.http1 import Pool
from tests.routing.http1.server import pool


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def client() -> AsyncIterator[Pool]:
    found = pool()
    yield found
    await found.close()
