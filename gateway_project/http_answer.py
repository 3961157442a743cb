"""An answer's way out of uvicorn: what is declared to have a length goes out in one write, head and body together.

uvicorn writes the head of every answer by itself, which wakes the client for nothing and costs a system call, and looks
at each header with two regular expressions.
"""

import re
from collections.abc import Iterable
from operator import add
from typing import cast

from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# All but the tab, which may stand in a header's value (RFC 9110, 5.5).
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code != 0x09)
_WITHOUT_BODY = frozenset({204, 304})
# By a header's name: the end of the line before it, and the beginning of its own. Those that frame the body are apart.
_FRAMING = {name: b"\r\n%b: " % name for name in (b"content-length", b"transfer-encoding", b"connection")}
_FIELDS: dict[bytes, bytes] = {}
# Names that are kept: applications have few, but nothing else bounds them.
_MOST_FIELDS = 256


def _field(name: bytes) -> bytes:
    """The beginning of a header's line, remembered. Raises `RuntimeError` for what is no header's name."""
    if not _NAME.fullmatch(name):
        raise RuntimeError("Invalid HTTP header name.")
    field = b"\r\n%b: " % name.lower()
    if len(_FIELDS) < _MOST_FIELDS:
        _FIELDS[name] = field
    return field


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
            start = cast(HTTPResponseStartEvent, message)
            self._begin(start["status"], start.get("headers", ()))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            part = cast(HTTPResponseBodyEvent, message)
            self._go_on(part.get("body", b""), more=part.get("more_body", False))
        else:
            await super().send(message)  # which says what is wrong with it

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer, as two messages to `send` would. False when its reader has to be waited for."""
        if self.response_started or (self.flow.write_paused and not self.disconnected):
            return False
        if not self.disconnected:
            self._begin(status, headers)
            self._go_on(body, more=False)
        return True

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Write the head, or hold it back for its body. Raises `RuntimeError` for what is no header."""
        self.response_started, self.waiting_for_100_continue = True, False
        listed = [*self.default_headers, *headers]
        # Where an application of ours puts it, and the one header of nearly every answer that frames the body.
        length = listed.pop() if listed and listed[-1][0] == b"content-length" else None
        try:
            names, values = zip(*listed, strict=True) if listed else ((), ())
            parts = [*map(add, map(_FIELDS.__getitem__, names), values)]
        except KeyError:
            parts = [self._line(name, value) for name, value in listed]
        if length is not None:
            parts.append(self._line(*length))
        if not self.keep_alive and not self._says_close:
            parts.append(b"\r\nconnection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self.chunked_encoding = True
            parts.append(b"\r\ntransfer-encoding: chunked")
        # Those between the lines, and two more that end the head.
        lines = len(parts) + 2
        head = STATUS_LINE[status][:-2] + b"".join(parts) + b"\r\n\r\n"
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * lines:
            raise RuntimeError("Invalid HTTP header value.")
        if self.chunked_encoding is False:
            self._held = head
        else:
            self.transport.write(head)

    def _line(self, name: bytes, value: bytes) -> bytes:
        """One header. Raises `RuntimeError` for a name that is none."""
        field = _FIELDS.get(name)
        if field is None:
            framing = name.lower()
            field = _FRAMING.get(framing)
            if field is None:
                field = _field(name)
            else:
                self._frame(framing, value)
        return field + value

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
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
