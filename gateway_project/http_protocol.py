"""uvicorn's HTTP protocol with an end to what it leaves open, and less to do for each request.

What has an end here: a head that never ends, an answer that nobody reads.
"""

import asyncio
import logging
from typing import Any
from urllib.parse import unquote

import httptools
from django.conf import settings
from uvicorn._types import ASGIVersions
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway_project.http_answer import Cycle

logger = logging.getLogger(__name__)

# Bytes of a request's line and headers, and the number of headers, trailers included.
MAX_HEAD = 128 * 1024
MAX_HEADERS = 500
_NEVER = float("inf")


def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """A request's target as its path, the path as it was sent, and its query. Raises `HttpParserError`."""
    parsed = httptools.parse_url(url)
    sent: bytes = parsed.path
    path = sent.decode("ascii")
    return unquote(path) if "%" in path else path, sent, parsed.query or b""


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is too long, and gives up a client that stopped reading.

    httptools would collect a head for as long as it comes, before anybody has said who is asking. An answer that is not
    read would keep its upstream's stream open for ever.

    Its application is mounted at the root and takes as many requests as come: uvicorn's options for that are ignored.
    """

    _in_head = False
    _head_bytes = 0
    # The last request that came.
    cycle: Cycle | None  # type: ignore[assignment]  # instead of uvicorn's
    # The one whose body is coming; None where that is a WebSocket's handshake.
    _coming: Cycle | None = None
    _patience: asyncio.TimerHandle | None = None
    # When the last answer was sent, by the loop's clock; infinite while there is something to do.
    _idle_since = _NEVER

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.headers = []
        self._asgi: ASGIVersions = {"version": self.asgi_version, "spec_version": "2.3"}

    # --- A request, as its parts come ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head or len(self.headers) > MAX_HEADERS:
            self._bound_head(len(data))

    def _bound_head(self, more: int) -> None:
        """Refuse a head that is too long, of which `more` bytes came now; or too many trailers."""
        self._head_bytes += more
        too_long = self._head_bytes > MAX_HEAD or len(self.headers) > MAX_HEADERS
        if too_long and not self.transport.is_closing():
            self._in_head, self.headers = False, []
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self.url, self.headers = b"", []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self.parser
        version = parser.get_http_version()
        path, raw_path, query = _split(self.url)
        self.scope = {
            "type": "http",
            "asgi": self._asgi,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }
        if parser.should_upgrade() and self._should_upgrade():
            self._coming = None
            return
        before = self.cycle
        cycle = self.cycle = self._coming = Cycle(self, keep_alive=version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:  # its turn comes when those before it are answered
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = self._coming
        if cycle is not None and not cycle.response_complete:
            cycle.arrived += body
            if len(cycle.arrived) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.wake()

    def on_message_complete(self) -> None:
        cycle = self._coming
        if cycle is not None and not cycle.response_complete:
            cycle.more_body = False
            cycle.wake()

    # --- Between two requests: one timer that looks now and then, not one for each request -----------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_at(self._idle_since + self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = _NEVER

    def _look_at(self, due: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_at(due, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        due = self._idle_since + self.timeout_keep_alive
        if due <= self.loop.time():
            super().timeout_keep_alive_handler()
        elif due < _NEVER:
            self._look_at(due)

    # --- A client that does not read -----------------------------------------------------------------

    # The transport calls these when its buffer is full and when it is nearly empty again: never for who reads.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.connections.discard(self)
        if self.cycle is not None:
            self.cycle.lose_connection()
        self.flow.resume_writing()
        self.transport.close()
        self.parser = None  # type: ignore[assignment]  # as uvicorn does: it holds this protocol

    def _wait_for_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._patience = self.loop.call_later(settings.CLIENT_STALL_SECONDS, self._give_up_unless_read, unsent)

    def _give_up_unless_read(self, unsent: int) -> None:
        if self.transport.get_write_buffer_size() < unsent:
            self._wait_for_reader()
            return
        logger.info("a client read nothing for %s s; its connection is closed", settings.CLIENT_STALL_SECONDS)
        # As if it had left: the request is cancelled, and recorded with what was produced.
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
