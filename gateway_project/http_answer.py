"""A request in uvicorn, and its answer: what has a declared length goes out in one write, head and body together.

uvicorn writes the head of every answer by itself, which wakes the client for nothing and costs a system call, and looks
at each header with two regular expressions.
"""

import asyncio
import functools
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from gateway_project.http_protocol import BoundedHttp

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A table for `bytes.translate` that changes what may not stand in a header's value: controls, but for the tab (RFC
# 9110, 5.5).
_WITHOUT_CONTROLS = bytes(0x3F if code in (*range(0x09), *range(0x0A, 0x20), 0x7F) else code for code in range(256))
_WITHOUT_BODY = frozenset({204, 304})
# Headers that say where the body ends, or the connection.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_STATUS = {status: line.removesuffix(b"\r\n") for status, line in STATUS_LINE.items()}


# Applications have few sets of headers, but nothing else bounds them.
@functools.lru_cache(maxsize=256)
def _form(names: tuple[bytes, ...]) -> tuple[bytes, tuple[int, ...]]:
    """The lines of headers of these names, to be filled in with their values, and which of them frame the answer.

    Raises `RuntimeError` for what is no header's name.
    """
    if not all(map(_NAME.fullmatch, names)):
        raise RuntimeError("Invalid HTTP header name.")
    lowered = [name.lower() for name in names]
    lines = b"".join(b"\r\n%b: %%b" % name.replace(b"%", b"%%") for name in lowered)
    return lines, tuple(index for index, name in enumerate(lowered) if name in _FRAMING)


class Cycle(RequestResponseCycle):
    """One request and its answer. The access log of uvicorn is left out: the ledger has what it would say."""

    logger = logging.getLogger("uvicorn.error")
    # Of the request: the bytes of its body that came and were not taken yet, whether more will, and whether there is
    # news of it.
    arrived_bytes = 0
    more_body = True
    _news = False
    # What `receive` waits for, once it had to.
    _waited_for: asyncio.Event | None = None
    _said_continue = False
    # Of the answer.
    disconnected = False
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    # Whether the application closes the connection.
    _says_close = False
    # The head of an answer of a declared length, until its first bytes are there.
    _held = b""

    def __init__(self, connection: "BoundedHttp", *, keep_alive: bool) -> None:
        # Not `super().__init__`: most of what it sets is the same at each beginning.
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.default_headers = connection.server_state.default_headers
        self.on_response = connection.on_response_complete
        self.keep_alive = keep_alive
        # What came of the body: in parts that may be as small as their sender likes.
        self.arrived: list[bytes] = []

    # --- The request ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """There is news for who receives."""
        self._news = True
        if self._waited_for is not None:
            self._waited_for.set()

    def lose_connection(self) -> None:
        """The client left."""
        if not self.response_complete:
            self.disconnected = True
        self.wake()

    async def receive(self) -> ASGIReceiveEvent:
        if not (self.disconnected or self.response_complete):
            self.flow.resume_reading()
            if not self._news:
                await self._wait_for_news()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        self._news = False
        parts, self.arrived, self.arrived_bytes = self.arrived, [], 0
        return {"type": "http.request", "body": b"".join(parts), "more_body": self.more_body}

    async def _wait_for_news(self) -> None:
        if self.more_body and self._is_to_say_continue():
            self._said_continue = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._waited_for is None:
            self._waited_for = asyncio.Event()
        self._waited_for.clear()
        await self._waited_for.wait()

    def _is_to_say_continue(self) -> bool:
        """Whether the client keeps its body back until it is told to go on (RFC 9110, 10.1.1)."""
        if self._said_continue or self.response_started or self.transport.is_closing():
            return False
        if self.scope["http_version"] == "1.0":
            return False
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in self.scope["headers"])

    # --- The answer ----------------------------------------------------------------------------------

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            start = cast(HTTPResponseStartEvent, message)
            self._begin(start["status"], [*start.get("headers", ())])
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            part = cast(HTTPResponseBodyEvent, message)
            self._go_on(part.get("body", b""), more=part.get("more_body", False))
        else:
            await super().send(message)  # which says what is wrong with it

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer, whose length goes with it. False when its reader has to be waited for."""
        if self.response_started or (self.flow.write_paused and not self.disconnected):
            return False
        if not self.disconnected:
            self.chunked_encoding = False
            head = self._head(status, headers, b"\r\ncontent-length: %d" % len(body))
            self.transport.writelines((head, body if self.scope["method"] != "HEAD" else b""))
            self._complete()
        return True

    def _begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Write the head, or hold it back for its body. Raises `RuntimeError` for what is no header."""
        head = self._head(status, headers)
        if self.chunked_encoding is False:
            self._held = head
        else:
            self.transport.write(head)

    def _head(self, status: int, headers: Sequence[tuple[bytes, bytes]], more: bytes = b"") -> bytes:
        """The status line, `headers`, and the lines of `more`. Raises `RuntimeError` for what is no header."""
        self.response_started = True
        listed = [*self.default_headers, *headers]
        names, values = zip(*listed, strict=True) if listed else ((), ())
        lines, framing = _form(names)
        told = b"".join(values)
        if told.translate(_WITHOUT_CONTROLS) != told:
            raise RuntimeError("Invalid HTTP header value.")
        for index in framing:
            self._frame(names[index].lower(), values[index])
        if not self.keep_alive and not self._says_close:
            more += b"\r\nconnection: close"
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self.chunked_encoding = True
            more += b"\r\ntransfer-encoding: chunked"
        return b"".join((_STATUS[status], lines % values, more, b"\r\n\r\n"))

    def _frame(self, name: bytes, value: bytes) -> None:
        """Take in what a header says of the body's end and the connection's."""
        if name == b"content-length":
            if self.chunked_encoding is None:
                self.chunked_encoding, self.expected_content_length = False, int(value)
        elif name == b"transfer-encoding":
            if value.lower() == b"chunked":
                self.chunked_encoding, self.expected_content_length = True, 0
        elif b"close" in [token.strip() for token in value.lower().split(b",")]:
            self.keep_alive, self._says_close = False, True

    def _go_on(self, body: bytes, *, more: bool) -> None:
        """Write a part of the body. Raises `RuntimeError` when it has not the length that the head says."""
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not more:
                body += b"0\r\n\r\n"
        elif len(body) > self.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        else:
            self.expected_content_length -= len(body)
        if self._held:
            self.transport.writelines((self._held, body))
            self._held = b""
        elif body:
            self.transport.write(body)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("Response content shorter than Content-Length")
        self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        self.wake()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
