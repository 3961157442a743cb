"""A stream that others listen to while it is made: read by a task of its own, at its own pace, for as long as anybody
listens. So neither a client that reads slowly nor one that leaves holds up, or ends, what others are listening to.

A stream that nobody else waits for is read by its own client alone, as any other stream is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

import orjson

from gateway_project.lib.wire import LastPart
from routing.cache import reshape
from routing.exchange import KEPT, Exchange
from routing.providers import sse
from routing.providers.base import Failure, UpstreamError

if TYPE_CHECKING:
    from routing.cache.collapse import Run

logger = logging.getLogger(__name__)

# Bytes of a stream that others listen to: all of it is kept for who comes late. The longest answers have half of that.
MOST = 64 * 1024 * 1024
TOO_LONG = "its answer is too long to be shared"
BROKE_OFF, INTERRUPTED = 502, "upstream_interrupted"
BROKEN = {"message": "The stream broke off.", "type": "server_error", "code": INTERRUPTED, "param": None}


class Broadcast:
    """The stream of `exchange`, which leads `run`. `blocks` settle the exchange before the last of them."""

    def __init__(self, run: Run, exchange: Exchange, blocks: AsyncGenerator[bytes]) -> None:
        self.exchange = exchange
        self._run = run
        self._blocks = blocks
        self._reader: asyncio.Task[None] | None = None
        # Whether the exchange's own client awaits a block itself, so that nobody else can.
        self._awaiting = False
        # What its own client has yet to be sent, once a task reads; None when it left.
        self._own: deque[bytes] | None = deque()
        self._listeners = 0
        self._last = b""
        self._ended = False
        self._on_end: Callable[[], None] | None = None
        self._asleep: list[asyncio.Future[None]] = []

    @property
    def is_live(self) -> bool:
        """Whether others can listen to it."""
        return self._reader is not None and not self._ended

    # --- The one who asked -----------------------------------------------------------------------

    async def own(self) -> AsyncGenerator[bytes]:
        """The blocks, for the client that asked."""
        try:
            while self._reader is None:
                self._awaiting = True
                try:
                    block = await anext(self._blocks, None)
                finally:
                    self._awaiting = False
                if block is None:
                    return
                self.wanted()
                yield block
            while self._own or (self._own is not None and not self._ended):
                if not self._own:
                    await self._news()
                    continue
                block = self._own.popleft()
                yield block
                if type(block) is LastPart:
                    return
        finally:
            if self._reader is None:
                await self._blocks.aclose()

    def outlives(self, on_end: Callable[[], None]) -> bool:
        """Whether it is still being read although its own client left, or has all of it; `on_end` is called then."""
        if not self.is_live:
            return False
        self._own, self._on_end = None, on_end
        self.unwanted()
        return True

    # --- Those who wait for it -------------------------------------------------------------------

    def wanted(self) -> None:
        """Somebody may wait for it: if so, have it read for them, and let those in who want a stream."""
        if self._reader is None:
            if not self._run.waiting or self._awaiting or self.exchange.settled:
                return
            if sum(map(len, self.exchange.streamed)) >= KEPT:  # its beginning may be there no more
                return
            self.exchange.keeps_all = True
            self._reader = asyncio.create_task(self._read())
            self._reader.add_done_callback(self._finish)
        if self.is_live:
            self._run.let_in(self)

    def unwanted(self) -> None:
        """Somebody left: stop where nobody is left. A settled one comes to its end by itself."""
        alone = self._own is None and not self._listeners and not self._run.waiting
        if alone and self._reader is not None and not self.exchange.settled:
            self._reader.cancel()

    def enter(self) -> None:
        """One more listens, until they `leave`."""
        self._listeners += 1

    def leave(self) -> None:
        """One listens no more."""
        self._listeners -= 1
        self.unwanted()

    async def listen(self, listener: Exchange, settle: Callable[[Exchange], None]) -> AsyncGenerator[bytes]:
        """All blocks from the first one, as `listener` asked for them; it is settled before the last."""
        at = 0
        while True:
            over = self._ended or self.exchange.settled
            blocks = self.exchange.streamed[at:]
            at += len(blocks)
            shown = reshape.as_asked(b"".join(blocks), usage_wanted=listener.usage_wanted)
            if over:
                break
            if shown:
                listener.first_byte = listener.first_byte or time.perf_counter()
                yield shown
                continue
            waited = time.perf_counter()
            await self._news()
            listener.upstream_seconds += time.perf_counter() - waited
        shown += self._conclude(listener, sse.ends(shown))
        settle(listener)
        yield LastPart(shown)

    def _conclude(self, listener: Exchange, ended: bool) -> bytes:
        """Let `listener` have what came of the stream; what is still to be sent of it."""
        made = self.exchange
        listener.usage = made.usage
        if made.settled and made.status == 200:
            listener.saved = made.search.cost if made.search is not None else 0
            return b"" if ended else sse.DONE
        listener.status, listener.error_code, listener.error = BROKE_OFF, INTERRUPTED, "the stream broke off"
        if type(self._last) is not LastPart:
            return b"data: " + orjson.dumps({"error": BROKEN}) + b"\n\n"
        listener.status, listener.error_code, listener.error = made.status, made.error_code, made.error
        return self._last

    # --- The reader ------------------------------------------------------------------------------

    async def _read(self) -> None:
        kept = 0
        async for block in self._blocks:
            self._pass_on(block)
            kept += len(block)
            if kept > MOST and not self.exchange.settled:
                # Ends as a provider's breaking off does: settled, and with an error for everybody.
                self._pass_on(await self._blocks.athrow(UpstreamError(Failure.DROPPED, TOO_LONG)))
                await self._blocks.aclose()
                return

    def _pass_on(self, block: bytes) -> None:
        if self._own is not None:
            self._own.append(block)
        self._last = block
        self._tell()

    def _finish(self, reader: asyncio.Task[None]) -> None:
        """The reader is done; also where it was cancelled before it began."""
        if not reader.cancelled() and (error := reader.exception()) is not None:
            logger.error("the stream of request %s broke off", self.exchange.id, exc_info=error)
        self._ended = True
        self._tell()
        if self._on_end is not None:
            self._on_end()

    async def _news(self) -> None:
        """Return when there is a further block, or the end."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append(told)
        await told

    def _tell(self) -> None:
        asleep, self._asleep = self._asleep, []
        for told in asleep:
            if not told.done():
                told.set_result(None)
