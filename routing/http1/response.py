"""An answer while it comes: its head is there, its body is read as blocks of whatever has arrived."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from routing.http1.coding import Unpacker
from routing.http1.errors import HttpError

if TYPE_CHECKING:
    from routing.http1.connection import Connection


class Response:
    """`complete`: everything has come, and the connection is free again.

    Made and filled by a `Connection`; it outlives its use of that, so a late `close` touches nobody else's request.
    """

    __slots__ = (
        "_connection", "_fields", "_loop", "_names", "_unpacker", "_waiter",
        "blocks", "buffered", "complete", "failure", "status",
    )  # fmt: skip

    def __init__(self, connection: "Connection") -> None:
        self._connection: Connection | None = connection
        self._loop = connection.loop
        self._waiter: asyncio.Future[None] | None = None
        self._unpacker: Unpacker | None = None
        # 0 until the head has come.
        self.status = 0
        # The header fields as they came, and their names as one text: of many, few are ever asked for.
        self._fields: dict[bytes, bytes] = {}
        self._names = b""
        self.blocks: list[bytes] = []
        self.buffered = 0
        self.complete = False
        self.failure: HttpError | None = None

    def header(self, name: bytes) -> str:
        """A header's value; empty when there is none. `name` is in lower case."""
        return (self.field(name) or b"").decode("latin-1").strip()

    def field(self, name: bytes) -> bytes | None:
        """A header's value as it was sent. `name` is in lower case."""
        if self._names.find(name) < 0:
            return None
        return {sent.lower(): value for sent, value in self._fields.items()}.get(name)

    def read(self) -> Awaitable[bytes]:
        """What has come since the last read, its content encoding undone; waits for something; empty at the end.

        Raises `TimedOut`, `Dropped` or `NotHttp` after everything that came before.
        """
        return self._read() if self._unpacker is None else self._read_unpacked(self._unpacker)

    def at_hand(self) -> bytes:
        """The whole body, where it has come with its head and in no coding; else nothing, and `read` has it."""
        if not self.complete or self._unpacker is not None:
            return b""
        body = b"".join(self.blocks)
        self.blocks.clear()
        return body

    async def _read(self) -> bytes:
        blocks = self.blocks
        while not blocks:
            if self.complete:
                return b""
            await self.progress()
        block = b"".join(blocks)
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

    def take(self, fields: dict[bytes, bytes]) -> None:
        """The header fields have come; `fields` will be used again."""
        self._fields, self._names = fields.copy(), b"\n".join(fields).lower()

    def begin(self, status: int) -> None:
        """The head has come, and is one."""
        self.status = status
        coding = self.field(b"content-encoding")
        if coding is not None and coding.strip().lower() not in (b"", b"identity"):
            self._unpacker = Unpacker(coding.decode("latin-1").strip().lower())

    def progress(self) -> Awaitable[None]:
        """Done as soon as something happens. Raises what went wrong."""
        if self.failure is not None:
            raise self.failure
        self._waiter = self._loop.create_future()
        return self._waiter

    def wake(self) -> None:
        """Something happened."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def detach(self, failure: HttpError | None = None) -> None:
        """Nothing more comes from the connection: the answer is complete, or has failed."""
        self._connection = None
        self.complete, self.failure = failure is None, failure
