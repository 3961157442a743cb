"""Just enough of HTTP/1.1, on asyncio's streams, to break it in every way: a framework would repair its answers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson


class PeerLeft(Exception):
    """The client closed its connection before the answer was complete."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """The body's JSON, or None when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class Connection:
    """One client's connection while one request is answered on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.chunked = False
        self.keep_alive = True

    async def head(self, status: int, headers: dict[str, str], *, length: int | None, close: bool = False) -> None:
        """Send the status line and the headers; a body of unknown `length` is chunked, or ends with the connection."""
        self.chunked = length is None and not close
        self.keep_alive = not close
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else 'Unknown'}"]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        elif length is not None:
            lines.append(f"content-length: {length}")
        if close:
            lines.append("connection: close")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self.flush()

    async def send(self, data: bytes) -> None:
        """Send a part of the body. Raises PeerLeft."""
        if self.writer.is_closing():
            raise PeerLeft
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
        await self.flush()

    async def end(self) -> None:
        if self.chunked:
            self.writer.write(b"0\r\n\r\n")
            await self.flush()

    async def flush(self) -> None:
        try:
            await self.writer.drain()
        except ConnectionError:
            raise PeerLeft from None

    def drop(self) -> None:
        """Reset the connection: the peer sees it break, not end."""
        self.keep_alive = False
        self.writer.transport.abort()


Handler = Callable[[Request, Connection], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader, begun: bytes = b"") -> Request | None:
    """The next request on a connection, of which `begun` was read already, or None when the client is done."""
    try:
        head = (begun + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Request(method, unquote(parts.path), query, headers, body)


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


async def until_peer_leaves(reader: asyncio.StreamReader) -> bytes:
    """Returns nothing when the client closes its side.

    Or the first byte of its next request: clients do not pipeline, but one that has the whole answer may be quicker
    with it than we are with what follows an answer.
    """
    with contextlib.suppress(ConnectionError):
        return await reader.read(1)
    return b""


def connection_loop(handle: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A client-connected callback for `asyncio.start_server` that answers requests with `handle`, one by one.

    `handle` is cancelled when the client leaves.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task that ends cancelled, as all do when the process ends, would be reported as a failure.
        expected = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*expected):
            begun = b""
            while (request := await read_request(reader, begun)) is not None:
                connection = Connection(reader, writer)
                answering = asyncio.ensure_future(handle(request, connection))
                leaving = asyncio.ensure_future(until_peer_leaves(reader))
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done() and leaving.result():
                    await asyncio.wait({answering})
                peer_left = not answering.done()
                for task in (answering, leaving):
                    task.cancel()
                results = await asyncio.gather(answering, leaving, return_exceptions=True)
                if isinstance(results[0], Exception) and not isinstance(results[0], PeerLeft):
                    raise results[0]
                begun = results[1] if isinstance(results[1], bytes) else b""
                if peer_left or not connection.keep_alive:
                    break

    return serve
