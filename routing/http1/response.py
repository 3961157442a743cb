"""An answer while it comes: its head is there, its body is read as blocks of whatever has arrived."""

import asyncio
from typing import TYPE_CHECKING

from routing.http1.coding import Unpacker
from routing.http1.errors import HttpError

if TYPE_CHECKING:
    from routing.http1.connection import Connection


class Response:
    """`headers` have names in lower case. `complete`: everything has come, and the connection is free again.

    Made and filled by a `Connection`; it outlives its use of that, so a late `close` touches nobody else's request.
    """

    __slots__ = (
        "_connection", "_loop", "_unpacker", "_waiter",
        "blocks", "buffered", "complete", "failure", "headers", "status",
    )  # fmt: skip

    def __init__(self, connection: "Connection") -> None:
        self._connection: Connection | None = connection
        self._loop = connection.loop
        self._waiter: asyncio.Future[None] | None = None
        self._unpacker: Unpacker | None = None
        # 0 until the head has come.
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.blocks: list[bytes] = []
        self.buffered = 0
        self.complete = False
        self.failure: HttpError | None = None

    def header(self, name: bytes) -> str:
        """A header's value; empty when there is none. `name` is in lower case."""
        return self.headers.get(name, b"").decode("latin-1").strip()

    async def read(self) -> bytes:
        """What has come since the last read, its content encoding undone; waits for something; empty at the end.

        Raises `TimedOut`, `Dropped` or `NotHttp` after everything that came before.
        """
        return await (self._read() if self._unpacker is None else self._read_unpacked(self._unpacker))

    async def _read(self) -> bytes:
        blocks = self.blocks
        while not blocks:
            if self.complete:
                return b""
            await self.progress()
        block = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        blocks.clear()
        self.buffered = 0
        if self._connection is not None:
            self._connection.resume()
        return block

    async def _read_unpacked(self, unpacker: Unpacker) -> bytes:
        while True:
            if unpacker.more:
                await asyncio.sleep(0)  # a bomb shall not keep others waiting
            else:
                packed = await self._read()
                if not packed:
                    unpacker.end()
                    return b""
                unpacker.feed(packed)
            if piece := unpacker.piece():
                return piece

    def close(self) -> None:
        """Drop the connection unless the answer is complete; nobody wants the rest."""
        if self._connection is not None:
            self._connection.abort()

    # --- The connection's side -------------------------------------------------------------------

    def begin(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The head has come."""
        self.status, self.headers = status, headers
        coding = headers.get(b"content-encoding")
        if coding is not None and coding.strip().lower() not in (b"", b"identity"):
            self._unpacker = Unpacker(coding.decode("latin-1").strip().lower())

    async def progress(self) -> None:
        """Wait until something happened. Raises what went wrong."""
        if self.failure is not None:
            raise self.failure
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Something happened."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def detach(self, failure: HttpError | None = None) -> None:
        """Nothing more comes from the connection: the answer is complete, or has failed."""
        self._connection = None
        self.complete, self.failure = failure is None, failure
