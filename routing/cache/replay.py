"""A kept answer as the reply to a request: whole, or all events of a stream at once."""

import time
from collections.abc import AsyncIterator

from gateway_project.lib.wire import LastPart
from routing.exchange import Exchange
from routing.settle import settle


class Replay:
    """A reply (`routing.providers.base.Reply`) that no provider sends."""

    ended = True

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self.body: bytes | None = None
        self.blocks: AsyncIterator[bytes] | None = None
        if exchange.stream:
            self.blocks = _streamed(exchange, body)
        else:
            self.body = body

    def close(self) -> None:
        """There is nobody to tell."""


async def _streamed(exchange: Exchange, events: bytes) -> AsyncIterator[bytes]:
    exchange.first_byte = time.perf_counter()
    settle(exchange)
    yield LastPart(events)
