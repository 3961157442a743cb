"""An answer that was found, as a reply: whole, all events of a stream at once, or a stream while it is made."""

import time
from collections.abc import AsyncIterator

from gateway_project.lib.wire import LastPart
from routing.cache.broadcast import Broadcast
from routing.exchange import Exchange
from routing.settle import settle


class Replay:
    """A reply (`routing.providers.base.Reply`) that no provider sends."""

    ended = True

    def __init__(self, exchange: Exchange, found: bytes | Broadcast) -> None:
        self.body: bytes | None = None
        self.blocks: AsyncIterator[bytes] | None = None
        self._broadcast = found if isinstance(found, Broadcast) else None
        if isinstance(found, Broadcast):
            self.blocks = found.listen(exchange, settle)
            return
        exchange.whole = found
        if exchange.stream:
            self.blocks = _streamed(exchange, found)
        else:
            self.body = found

    def close(self) -> None:
        """Listen no more."""
        broadcast, self._broadcast = self._broadcast, None
        if broadcast is not None:
            broadcast.leave()


async def _streamed(exchange: Exchange, events: bytes) -> AsyncIterator[bytes]:
    exchange.first_byte = time.perf_counter()
    settle(exchange)
    yield LastPart(events)
