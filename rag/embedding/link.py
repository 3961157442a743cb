"""Connections to the embedding service: one for all calls of an event loop, and a few for threads."""

import asyncio
import itertools
import os
import socket
import threading
import time
from typing import Any

from rag.embedding import wire
from rag.embedding.errors import BadInput, EmbedderAway, Overloaded, revive

Answer = tuple[dict[str, Any], bytes]

CONNECT_SECONDS = 2.0
# Connections that threads leave open for the next.
KEPT = 8


def opened(answer: Answer) -> Answer:
    """The answer itself. Raises the EmbeddingError that it is."""
    if error := answer[0].get("error"):
        raise revive(error)
    return answer


def _frame(header: dict[str, Any], body: bytes) -> bytes:
    """Raises BadInput for more than one call can carry."""
    try:
        return wire.encode(header, body)
    except wire.BadFrame:
        raise BadInput(0, f"and what came with it are more than {wire.MAX_FRAME:,} bytes") from None


def _refuse_strangers(path: str) -> None:
    """Raises OSError unless the socket's folder is this user's: in a shared one anybody may wait for texts."""
    if os.stat(os.path.dirname(path)).st_uid != os.geteuid():
        raise PermissionError(f"{path} is in somebody else's folder")


class Link(asyncio.Protocol):
    """One connection of one event loop; its calls run side by side and are answered in any order."""

    def __init__(self) -> None:
        self._reader = wire.Reader()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._ids = itertools.count(1)
        self._transport: asyncio.Transport | None = None
        self.lost = False

    @classmethod
    async def connect(cls, path: str) -> "Link":
        """Raises EmbedderAway."""
        try:
            _refuse_strangers(path)
            async with asyncio.timeout(CONNECT_SECONDS):
                _, link = await asyncio.get_running_loop().create_unix_connection(cls, path)
        except (OSError, TimeoutError):
            raise EmbedderAway from None
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            for header, body in self._reader.feed(data):
                waiting = self._waiting.pop(header.get("id", 0), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((header, body))
        except wire.BadFrame:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(EmbedderAway())
        self._waiting.clear()

    def close(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    async def call(self, header: dict[str, Any], body: bytes, seconds: float) -> Answer:
        """Raises EmbeddingError: the service's own, or that it is away or has not answered in time."""
        if self.lost or self._transport is None:
            raise EmbedderAway
        number = next(self._ids)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            self._transport.write(_frame({**header, "id": number}, body))
            async with asyncio.timeout(seconds):
                return opened(await waiting)
        except TimeoutError:
            raise Overloaded(f"Nothing was embedded within {seconds:g} s; try again in a moment.") from None
        finally:
            # Given up, by time or by a caller who left: the service need not begin.
            if self._waiting.pop(number, None) is not None and not self.lost:
                self._transport.write(wire.encode({"op": "cancel", "id": number}))


class Pool:
    """Connections for threads: each serves one call at a time and waits for the next."""

    def __init__(self) -> None:
        self._idle: list[tuple[str, socket.socket]] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    def call(self, path: str, header: dict[str, Any], body: bytes, seconds: float) -> Answer:
        """Raises EmbeddingError."""
        frame = _frame({**header, "id": 1}, body)
        deadline = time.monotonic() + seconds
        while True:
            connection, used = self._take(path)
            try:
                answer = _exchange(connection, frame, deadline)
            except TimeoutError:
                connection.close()
                raise Overloaded(f"Nothing was embedded within {seconds:g} s; try again in a moment.") from None
            except (OSError, wire.BadFrame):
                connection.close()
                if not used:
                    raise EmbedderAway from None
                # It was kept from before a restart of the worker.
            except BaseException:
                connection.close()
                raise
            else:
                self._give(path, connection)
                return opened(answer)

    def _take(self, path: str) -> tuple[socket.socket, bool]:
        with self._lock:
            if self._process != os.getpid():  # forked: these belong to the parent
                self._process, self._idle = os.getpid(), []
            while self._idle:
                at, connection = self._idle.pop()
                if at == path:
                    return connection, True
                connection.close()
        connection = socket.socket(socket.AF_UNIX)
        try:
            _refuse_strangers(path)
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(path)
        except OSError:
            connection.close()
            raise EmbedderAway from None
        return connection, False

    def _give(self, path: str, connection: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append((path, connection))
                return
        connection.close()


def _exchange(connection: socket.socket, frame: bytes, deadline: float) -> Answer:
    connection.settimeout(_left(deadline))
    connection.sendall(frame)
    total, head = wire.lengths(_receive(connection, wire.LENGTHS.size, deadline))
    return wire.decode(memoryview(_receive(connection, total, deadline)), head)


def _receive(connection: socket.socket, size: int, deadline: float) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        connection.settimeout(_left(deadline))
        read = connection.recv_into(view)
        if not read:
            raise ConnectionResetError
        view = view[read:]
    return buffer


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
