"""uvicorn's HTTP protocol with an end to what it leaves open, and less to do for each request.

What has an end here: a head or a body that never ends or never comes, requests sent ahead of their answers, an answer
that nobody reads. And what is refused never answers another request.
"""

import asyncio
import logging
from collections import deque
from contextvars import Context
from typing import Any
from urllib.parse import unquote

import httptools
from django.conf import settings
from uvicorn._types import ASGI3Application, ASGIVersions
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway_project.http_answer import Cycle

logger = logging.getLogger(__name__)

# Bytes of a request's line and headers, or of anything else between two parts of a body; and the number of headers.
MAX_HEAD = 128 * 1024
MAX_HEADERS = 500
# Requests that a client may send ahead of the answers.
MAX_AHEAD = 100

INVALID = "Invalid HTTP request received."
TOO_LONG = "The head of the request is too long."


def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """A request's target as its path, the path as it was sent, and its query. Raises `HttpParserError`."""
    parsed = httptools.parse_url(url)
    sent: bytes = parsed.path
    path = sent.decode("ascii")
    return unquote(path) if "%" in path else path, sent, parsed.query or b""


class _Refused(Exception):
    """A request that is not taken, and why, in words for its client."""


class _Deaf:
    """In a parser's place, where nothing more is taken."""

    def feed_data(self, data: bytes) -> None:
        """Forget it: a parser would go on to collect what has no end."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is too long, and gives up a client that keeps it waiting or stopped reading.

    httptools would collect a head, or the trailers of a body, for as long as they come, before anybody has said who is
    asking. An answer that is not read would keep its upstream's stream open for ever.

    Its application is mounted at the root and takes as many requests as come: uvicorn's options for that are ignored.
    """

    # The last request that came, and the one that is being answered: an earlier one, if its client does not wait.
    cycle: Cycle | None  # type: ignore[assignment]  # instead of uvicorn's
    _answered: Cycle | None = None
    # The one whose body is coming; None where that is a WebSocket's handshake.
    _coming: Cycle | None = None
    # Those that came before their turn, the last one first.
    pipeline: deque[tuple[Cycle, ASGI3Application]]  # type: ignore[assignment]
    # Bytes that came since a head began or a body went on.
    _between = 0
    # When a head began, a body went on or an answer was sent, by the loop's clock.
    _heard = 0.0
    _patience: asyncio.TimerHandle | None = None

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard = self.loop.time()
        self._look_at(self._heard + self.timeout_keep_alive)

    # --- A request, as its parts come ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._between += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            why = error.__context__
            self._refuse(str(why) if isinstance(why, _Refused) else INVALID)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        else:
            if self._between > MAX_HEAD:
                self._refuse(TOO_LONG)

    def on_message_begin(self) -> None:
        self._between = 0
        self._heard = self.loop.time()
        self.url, self.headers = b"", []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        headers = self.headers
        # What comes of headers from now on are trailers: nothing that the request was judged by.
        self.headers = []
        if len(headers) > MAX_HEADERS:
            raise _Refused(TOO_LONG)
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
            "headers": headers,
        }
        if parser.should_upgrade():  # decided by `_upgrade`, which is called next
            self._coming = None
            return
        if len(self.pipeline) >= MAX_AHEAD:
            raise _Refused(f"More than {MAX_AHEAD} requests came ahead of their answers.")
        before = self.cycle
        cycle = self.cycle = self._coming = Cycle(self, keep_alive=version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self._answered = cycle
            self._start_asgi_task(cycle, self.app)
        else:  # its turn comes when those before it are answered
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._between = 0
        cycle = self._coming
        if cycle is not None and not cycle.response_complete:
            self._heard = self.loop.time()
            cycle.arrived.append(body)
            cycle.arrived_bytes += len(body)
            if cycle.arrived_bytes > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.wake()

    def on_message_complete(self) -> None:
        self._between = 0
        cycle = self._coming
        if cycle is not None:
            cycle.more_body = False
            cycle.wake()

    # --- What is not taken as it came ----------------------------------------------------------------

    def _refuse(self, why: str) -> None:
        """Take nothing more from this client. What it asked before is answered, and no other answer comes between."""
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            cycle.keep_alive = False
            self.parser = _Deaf()  # type: ignore[assignment]  # as much of one as is needed
            return
        if self.transport.is_closing():
            return
        self.logger.warning(why)
        if cycle is None or not cycle.more_body or (cycle is self._answered and not cycle.response_started):
            self.send_400_response(why)
        else:  # in the body of a request that has its answer, or is not the next to have one
            self.transport.close()

    def _upgrade(self, rest: bytes) -> None:
        """Let a WebSocket begin, or serve the request as if it asked for no other protocol (RFC 9110, 7.8).

        The parser takes an upgrade for granted, and with it that no body follows: the request's body would be the next
        request, and Java's client, which offers HTTP/2 this way, would have sent an empty one. `rest` is what came
        after the head.
        """
        method, headers = self.scope["method"], self.scope["headers"]
        if method == "CONNECT":
            self._refuse(INVALID)
            return
        wanted = dict(headers)
        is_alone = self.cycle is None or self.cycle.response_complete
        has_body = b"content-length" in wanted or b"transfer-encoding" in wanted
        if method == "GET" and wanted[b"upgrade"].lower() == b"websocket" and is_alone and not has_body:
            self._stop_looking()
            self.handle_websocket_upgrade()
            return
        lines = b"".join(b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade")
        version = self.scope["http_version"]
        self.data_received(b"%b %b HTTP/%b\r\n%b\r\n%b" % (method.encode(), self.url, version.encode(), lines, rest))

    # --- Between two requests: one timer that looks now and then, not one for each request -----------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._heard = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._answered = cycle
            # Not in the context of the request that was just answered, which is the one that this is called in.
            Context().run(self._start_asgi_task, cycle, app)

    def _look_at(self, due: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_at(due, self.timeout_keep_alive_handler)

    def _stop_looking(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def timeout_keep_alive_handler(self) -> None:
        now = self.loop.time()
        due = self._heard + self.timeout_keep_alive
        if due <= now and not self._is_client_s_turn():
            due = now + self.timeout_keep_alive
        if due > now:
            self._look_at(due)
        elif self.transport.get_write_buffer_size():  # of an answer that was over long ago
            self.transport.abort()
        else:
            self.transport.close()

    def _is_client_s_turn(self) -> bool:
        """Whether it is for the client to send something: a head, or what is missing of a body."""
        if self.flow.read_paused or self.flow.write_paused:
            return False
        cycle = self._answered
        return cycle is None or cycle.response_complete or cycle.more_body

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
        self._stop_looking()
        self.connections.discard(self)
        if self._answered is not None:
            self._answered.lose_connection()
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
