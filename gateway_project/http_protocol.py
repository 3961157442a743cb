"""uvicorn's HTTP protocol with an end to what it leaves open: a head that never ends, an answer that nobody reads."""

import asyncio
import logging

from django.conf import settings
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway_project.http_answer import Cycle

logger = logging.getLogger(__name__)

# Bytes of a request's line and headers, and the number of headers, trailers included.
MAX_HEAD = 128 * 1024
MAX_HEADERS = 500
_NEVER = float("inf")


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is too long, and gives up a client that stopped reading.

    httptools would collect a head for as long as it comes, before anybody has said who is asking. An answer that is not
    read would keep its upstream's stream open for ever.
    """

    _in_head = False
    _head_bytes = 0
    _patience: asyncio.TimerHandle | None = None
    # When the last answer was sent, by the loop's clock; infinite while there is something to do.
    _idle_since = _NEVER

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
        # There are no headers yet where nothing but empty lines has come.
        too_many = bool(self.headers) and len(self.headers) > MAX_HEADERS
        if (self._head_bytes > MAX_HEAD or too_many) and not self.transport.is_closing():
            self._in_head, self._head_bytes, self.headers = False, 0, []
            self.send_400_response("The head of the request is too long.")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = Cycle  # uvicorn makes them, and asks nobody of which class
        super()._start_asgi_task(cycle, app)

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
        super().connection_lost(exc)

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
