"""An answer's way out of uvicorn: what is declared to have a length goes out in one write, head and body together.

uvicorn writes the head of every answer by itself, which wakes the client for nothing and costs a system call, and looks
at each header with two regular expressions.
"""

import functools
import re
from typing import cast

from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# All but the tab, which may stand in a header's value (RFC 9110, 5.5).
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code != 0x09)
_FRAMING = frozenset({b"content-length: ", b"transfer-encoding: ", b"connection: "})
_WITHOUT_BODY = frozenset({204, 304})


@functools.lru_cache(maxsize=256)
def _field(name: bytes) -> bytes:
    """The beginning of a header's line. Raises `RuntimeError` for what is no header's name."""
    if not _NAME.fullmatch(name):
        raise RuntimeError("Invalid HTTP header name.")
    return name.lower() + b": "


class Cycle(RequestResponseCycle):
    """One request and its answer. The access log of uvicorn is left out: the ledger has what it would say."""

    # Whether the application closes the connection.
    _says_close = False
    # The head of an answer of a declared length, until its first bytes are there.
    _held = b""

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self._begin(cast(HTTPResponseStartEvent, message))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._go_on(cast(HTTPResponseBodyEvent, message))
        else:
            await super().send(message)  # which says what is wrong with it

    def _begin(self, message: HTTPResponseStartEvent) -> None:
        """Write the head, or hold it back for its body. Raises `RuntimeError` for what is no header."""
        self.response_started, self.waiting_for_100_continue = True, False
        status = message["status"]
        parts = [STATUS_LINE[status]]
        headers = [*self.default_headers, *message.get("headers", ())]
        for name, value in headers:
            field = _field(name)
            if field in _FRAMING:
                self._frame(field, value)
            parts += (field, value, b"\r\n")
        # The status line, the headers, and the empty line that ends the head.
        lines = len(headers) + 2
        if not self.keep_alive and not self._says_close:
            parts.append(b"connection: close\r\n")
            lines += 1
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * lines:
            raise RuntimeError("Invalid HTTP header value.")
        if self.chunked_encoding is False:
            self._held = head
        else:
            self.transport.write(head)

    def _frame(self, field: bytes, value: bytes) -> None:
        """Take in what a header says of the body's end and the connection's."""
        if field == b"content-length: ":
            if self.chunked_encoding is None:
                self.chunked_encoding, self.expected_content_length = False, int(value)
        elif field == b"transfer-encoding: ":
            if value.lower() == b"chunked":
                self.chunked_encoding, self.expected_content_length = True, 0
        elif b"close" in [token.strip() for token in value.lower().split(b",")]:
            self.keep_alive, self._says_close = False, True

    def _go_on(self, message: HTTPResponseBodyEvent) -> None:
        """Write a part of the body. Raises `RuntimeError` when it has not the length that the head says."""
        body, more = message.get("body", b""), message.get("more_body", False)
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
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
