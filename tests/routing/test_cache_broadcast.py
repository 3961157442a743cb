"""A stream that others listen to takes no more memory than it may."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from routing.cache import broadcast
from routing.cache.broadcast import Broadcast
from routing.cache.collapse import Runs
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.meter import metered
from routing.settle import settle

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"0" * 1000 + b'"}}]}\n\n'


class Endless:
    """A provider's reply that does not end."""

    ended = True
    body: bytes | None = None

    def __init__(self) -> None:
        self.sent = 0
        self.blocks: AsyncIterator[bytes] | None = self._blocks()

    async def _blocks(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1
            yield EVENT
            await asyncio.sleep(0)

    def close(self) -> None:
        pass


async def test_one_that_does_not_end_is_ended_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "MOST", 100 * len(EVENT))
    runs, reply, made, listener = Runs(), Endless(), Exchange(CHAT), Exchange(CHAT)
    assert reply.blocks is not None
    made.status, made.first_block = 200, EVENT
    run = runs.lead(b"key")
    assert run is not None
    stream = run.broadcast = Broadcast(run, made, metered(made, reply, reply.blocks))
    waiting = asyncio.create_task(runs.turn(b"key", 5, streams=True))
    await asyncio.sleep(0)
    own = [block async for block in stream.own()]
    assert await waiting is stream
    heard = [block async for block in stream.listen(listener, settle)]

    assert 100 <= reply.sent <= 102
    assert (made.settled, made.status, made.error) == (True, 502, broadcast.TOO_LONG)
    assert (listener.settled, listener.status, listener.error) == (True, 502, broadcast.TOO_LONG)
    for blocks in (own, heard):
        assert b"".join(blocks).count(EVENT) > 100
        assert broadcast.TOO_LONG.encode() in blocks[-1]
