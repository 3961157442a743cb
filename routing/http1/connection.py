"""One connection: sends a request, parses its answer, and then waits to be used again."""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from routing.http1.errors import Dropped, HttpError, NotHttp, TimedOut
from routing.http1.response import Response
from routing.providers.base import Timeouts

if TYPE_CHECKING:
    from routing.http1.pool import Pool
    from routing.http1.request import Origin

# Bytes of an answer's head with those of 1xx before it; also of chunk sizes, their extensions and trailers in a row.
MAX_HEAD: Final = 64 * 1024
# Bytes of an answer that may wait to be read; then nothing more is taken from the socket.
HIGH_WATER: Final = 256 * 1024
# What a block takes in memory beside its bytes.
OBJECT: Final = 64
# Bytes of a request that are written at a time.
SLICE: Final = 128 * 1024
# Seconds that a connection waits for its next request.
KEEP_ALIVE: Final = 15.0

_NEVER: Final = float("inf")
_VERSIONS: Final = frozenset({"1.1", "1.0"})
# Without these a body lasts until its connection ends.
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_WITHOUT_BODY: Final = frozenset({204, 304})


class Connection(asyncio.Protocol):
    """Belongs to one origin of one pool. Has at most one request at a time, and no pipelining."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: "Pool", origin: "Origin") -> None:
        self.loop = loop
        self.pool = pool
        self.origin = origin
        self._response: Response | None = None
        self._paused = self._write_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        # When the request or the pause that is going on is over: see `_due`.
        self._head_due = self._ends_at = self._heard_at = 0.0
        self._idle = _NEVER
        self._version_known = False
        self._reset()
        # What the parser calls most are built-in methods: a burst of small chunks costs no call of Python.
        self._parts: list[bytes] = []
        self._fields: dict[bytes, bytes] = {}
        self.on_body = self._parts.append
        self.on_header = self._fields.__setitem__
        self._parser = HttpResponseParser(self)
        # What common servers get wrong and what cannot be misread: lines without CR, spaces after a chunk's size.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)

    def _reset(self) -> None:
        self._sent = self._ended = self._keep_alive = False
        self._flaw: HttpError | None = None
        self._without_body = 0

    @property
    def usable(self) -> bool:
        """Whether a request can be sent: neither side has closed it."""
        return not self.transport.is_closing()

    # --- Asking ----------------------------------------------------------------------------------

    async def ask(self, head: bytes, body: bytes, timeouts: Timeouts, head_due: float) -> Response:
        """Send a request; return when the answer's head has come.

        `head_due` is the loop's time until which it has to; the answer's other limits are those of `timeouts`. Raises
        `TimedOut`, `Dropped`, `NotHttp`. The connection is gone after that, and after a cancellation.
        """
        if self.transport.is_closing():
            raise self._flaw or Dropped("the connection broke before an answer")
        self._reset()
        response = self._response = Response(self)
        self._head_due, self._idle, self._ends_at = head_due, timeouts.idle, timeouts.total
        self._wake_by(head_due)
        try:
            if len(body) <= SLICE:
                self.transport.write(head + body)
                self._sent = True
            else:
                await self._send_slowly(head, body, response)
            while not response.status:
                await response.progress()
        except BaseException:
            response.close()
            raise
        return response

    async def _send_slowly(self, head: bytes, body: bytes, response: Response) -> None:
        """Send a long request no faster than it is taken; a server may answer before it has all of it."""
        self.transport.write(head)
        view = memoryview(body)
        for start in range(0, len(body), SLICE):
            while self._write_paused and not response.status:
                await response.progress()
            if response.status:
                return
            self.transport.write(view[start : start + SLICE])
        self._sent = True

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._response is not None:
            self._response.wake()

    # --- Being answered --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)
        self._heard_at = self.loop.time()
        self._wake_by(self._due())

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            # Nobody asked. Were it taken for the next request's answer, so would all later ones be.
            self._flaw = NotHttp("it speaks before it is asked")
            self.abort()
            return
        self._without_body += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._flaw = self._flaw or NotHttp("the answer is not HTTP as it should be")
        parts = self._parts
        if parts:
            block = b"".join(parts)
            parts.clear()
            response.blocks.append(block)
            response.buffered += len(block) + OBJECT
            self._without_body = 0
            self._heard_at = self.loop.time()
        elif self._without_body > MAX_HEAD:
            self._flaw = self._flaw or NotHttp("its head or trailers are too long")
        if self._ended:
            self._complete(response)
        elif self._flaw is not None:
            self._fail(response, self._flaw)
        elif response.buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        response.wake()

    def resume(self) -> None:
        """What had come was read."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self._heard_at = self.loop.time()
            self._wake_by(self._due())
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        if self._ended:
            # A second answer's body would stand behind the first one's: the parser is to stop here.
            self._flaw = NotHttp("it answers more than it is asked")
            raise self._flaw
        self._fields.clear()

    def on_headers_complete(self) -> None:
        status, response, fields = self._parser.get_status_code(), self._response, self._fields
        if self._ended or response is None or (100 <= status < 200 and status != 101):
            return
        if self._without_body > MAX_HEAD and sum(map(len, fields)) + sum(map(len, fields.values())) > MAX_HEAD:
            self._flaw = NotHttp("its head is too long")
            return
        response.take(fields)
        coding = response.field(b"transfer-encoding")
        if status < 200 or not self._knows_version():
            self._flaw = NotHttp("the answer is not HTTP as it should be")
        elif coding is not None and coding.strip().lower() != b"chunked":
            self._flaw = NotHttp("its transfer encoding is not known")
        else:
            response.begin(status)
            self._heard_at = self.loop.time()
            self._ends_at += self._heard_at
            self._wake_by(min(self._heard_at + self._idle, self._ends_at))
            # Whatever the headers say of one.
            self._ended = status in _WITHOUT_BODY

    def _knows_version(self) -> bool:
        """Whether the server speaks HTTP/1. A connection's first answer tells."""
        if not self._version_known:
            self._version_known = self._parser.get_http_version() in _VERSIONS
        return self._version_known

    def on_message_complete(self) -> None:
        if self._response is not None and self._response.status and not self._ended:
            self._ended = True
            self._keep_alive = self._parser.should_keep_alive()

    def _complete(self, response: Response) -> None:
        self._response = None
        response.detach()
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it has answered before it was asked in full
            return
        if not self._keep_alive or not self._sent or self._flaw is not None:
            self.transport.close()
            return
        self._heard_at = self.loop.time()
        self._wake_by(self._heard_at + KEEP_ALIVE)
        self.pool.release(self)
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _fail(self, response: Response, error: HttpError) -> None:
        self._response = None
        response.detach(error)
        self.abort()
        response.wake()

    # --- Time, and the end -----------------------------------------------------------------------

    def _due(self) -> float:
        """The loop's time until which something has to happen."""
        if self._response is None:
            return self._heard_at + KEEP_ALIVE
        if not self._response.status:
            return self._head_due
        # While we take nothing, it is not the server that is silent.
        return self._ends_at if self._paused else min(self._heard_at + self._idle, self._ends_at)

    def _wake_by(self, due: float) -> None:
        """Look whether something happened at `due`, or earlier: a timer that is set already is left, which is cheap."""
        if self._timer_at <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        due = self._due()
        if self.loop.time() < due:
            self._wake_by(due)
        elif self._response is None:
            self.pool.forget(self)
            self.transport.close()
        else:
            self._fail(self._response, TimedOut("the answer did not come in time"))

    def eof_received(self) -> None:
        """The other side has closed; so does the transport."""
        self.pool.forget(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        del self._parser  # each knows the other
        response, self._response = self._response, None
        if response is None:
            return
        if response.status and error is None and all(response.field(name) is None for name in _FRAMING):
            response.detach()  # the end of the connection is that of the body
        else:
            when = "during the answer" if response.status else "before an answer"
            response.detach(Dropped(f"the connection broke {when}"))
        response.wake()

    def abort(self) -> None:
        """Drop the connection at once."""
        self.pool.forget(self)
        self.transport.abort()
