"""A request and an answer for the hop-free handler: Django's own types, without the work that `/v1` has no use for.

`V1Handler` in gateway_project/v1.py makes the request and sends the answer.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http.response import HttpResponseBase
from django.utils.functional import cached_property

from gateway_project.lib.errors import InvalidRequest, RequestTooLarge

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


# Seconds after which, at the most, a request that still runs begins to watch for its client's leaving. What a fast
# upstream or a cache answers is done before that, and a watch costs a task.
WATCH_AFTER = 0.1


def bounded(receive: Receive, limit: int) -> Receive:
    """`receive` of a request whose body ends soon after `limit` bytes, so that Django finds it too long."""
    size = 0

    async def receive_within() -> Message:
        nonlocal size
        message = await receive()
        while message["type"] == "http.request" and size > limit:
            message = await receive()  # what is beyond concerns nobody
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > limit:
                message = {**message, "more_body": False}
        return message

    return receive_within


class ClientLeft(asyncio.CancelledError):
    """The client closed the connection before its request was read. A cancellation: nobody is left to answer."""


class _Watch:
    """Cancels the task that serves a request when the request's client leaves."""

    __slots__ = ("client_left", "receive", "serving", "watching")

    def __init__(self, receive: Receive) -> None:
        roster = _roster()
        self.receive: Receive | None = receive
        self.serving = asyncio.current_task(roster.loop)
        self.client_left = False
        self.watching: asyncio.Task[None] | None = None
        roster.enter(self)

    def begin(self) -> None:
        """Watch, unless the request is served by now."""
        if self.receive is not None:
            self.watching = asyncio.ensure_future(self._watch(self.receive))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.client_left = True
        if self.serving is not None:
            self.serving.cancel()

    def stop(self) -> None:
        """Nobody need watch any more."""
        # The roster knows it for a moment longer, and shall keep nothing of the request.
        self.receive = self.serving = None
        if self.watching is not None:
            self.watching.cancel()


class _Roster:
    """Begins one event loop's watches when they are due.

    It looks twice within `WATCH_AFTER`, and each time begins those that it saw the last time as well: one timer for
    all, however many requests come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._entered: list[_Watch] = []
        self._seen: list[_Watch] = []
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, watch: _Watch) -> None:
        """Begin `watch` in `WATCH_AFTER` seconds at the most."""
        self._entered.append(watch)
        if self._timer is None:
            self._timer = self.loop.call_later(WATCH_AFTER / 2, self._look)

    def _look(self) -> None:
        for watch in self._seen:
            watch.begin()
        self._seen, self._entered = self._entered, []
        self._timer = self.loop.call_later(WATCH_AFTER / 2, self._look) if self._seen else None


class _Here(threading.local):
    roster: _Roster | None = None


_here = _Here()


def _roster() -> _Roster:
    """The running event loop's."""
    roster = _here.roster
    if roster is None or not roster.loop.is_running():
        roster = _here.roster = _Roster(asyncio.get_running_loop())
    return roster


class WireRequest(ASGIRequest):
    """A request whose body is read when the view asks for it, and whose `META` is built only if somebody looks."""

    resolver_match = None
    _read_started = False
    _post_parse_error = False
    _watch: _Watch | None = None

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        # Names in lower case, as ASGI gives them.
        self.wire_headers: dict[bytes, bytes] = dict(scope["headers"])
        if len(self.wire_headers) != len(scope["headers"]):
            self.wire_headers = _joined(scope["headers"])

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]
        full = ASGIRequest(self.scope, BytesIO())
        return full.META

    async def read_body(self, limit: int) -> bytes:
        """The whole body; from then on the serving task is cancelled when the client leaves.

        Raises `RequestTooLarge` as soon as it is known to be longer than `limit` bytes, `ClientLeft` when the
        client goes away meanwhile.
        """
        self._check_declared_length(limit)
        message = await self.receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                message = await self.receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise RequestTooLarge(f"The body may be {limit} bytes long.", param="body")
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise ClientLeft
        if len(body) > limit:
            raise RequestTooLarge(f"The body may be {limit} bytes long.", param="body")
        self._watch = _Watch(self.receive)
        return body

    async def read_parts(self, limit: int, patience: float) -> AsyncIterator[bytes]:
        """The body as it comes, for one that is too long to be held; after it, a client that leaves ends the task.

        Raises as `read_body` does, and `InvalidRequest` when nothing comes for `patience` seconds.
        """
        self._check_declared_length(limit)
        size, more = 0, True
        while more:
            try:
                async with asyncio.timeout(patience):
                    message = await self.receive()
            except TimeoutError:
                raise InvalidRequest(
                    f"The body broke off: nothing came for {patience:g} seconds.", param="body"
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > limit:
                raise RequestTooLarge(f"The body may be {limit} bytes long.", param="body")
            if part:
                yield part
        self._watch = _Watch(self.receive)

    def _check_declared_length(self, limit: int) -> None:
        declared = self.wire_headers.get(b"content-length", b"0")
        if not declared.isdigit():
            raise InvalidRequest("content-length: must be a whole number.", param="content-length")
        if int(declared) > limit:
            raise RequestTooLarge(f"The body may be {limit} bytes long, not {int(declared)}.", param="body")

    @property
    def client_left(self) -> bool:
        """Whether the client went away while it was being served."""
        return self._watch is not None and self._watch.client_left

    def stop_watching(self) -> None:
        """The request is served: its client may leave."""
        if self._watch is not None:
            self._watch.stop()


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers that were sent more than once as HTTP reads them (RFC 9110, 5.3): one value, joined by commas.

    So two different credentials become one that is none, instead of either being taken.
    """
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


class LastPart(bytes):
    """The part of a streamed answer after which there is no other, so that the answer can end with it."""

    __slots__ = ()


class WireResponse(HttpResponseBase):
    """An answer given as raw headers with a body, or with an async iterator of its parts.

    `on_close` runs exactly once, when the answer was sent, broke off, or was never begun.
    """

    def __init__(
        self,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        on_close: Callable[[], None] | None = None,
    ) -> None:
        # Not `super().__init__`: it makes a header mapping and a cookie jar that this answer has no use for.
        self.status_code = status
        self.wire_headers = headers
        self.wire_body = body
        self.on_close = on_close

    def send_at_once(self, send: Send) -> bool:
        """Hand a whole answer to our own server (`gateway_project.http_answer`), which spares two messages.

        False where `send` is to be called: behind another server, for a stream, or for a client that does not read.
        """
        answer = getattr(getattr(send, "__self__", None), "answer", None)
        body = self.wire_body
        return answer is not None and isinstance(body, bytes) and answer(self.status_code, self.wire_headers, body)

    async def send(self, send: Send, before_last: Callable[[], None]) -> None:
        """Send it over ASGI; always call `close()` afterwards.

        `before_last` is called before a stream's last part is sent, which may not be the last that is done for it. A
        server tells of its client's leaving as soon as the answer has ended.
        """
        body = self.wire_body
        if isinstance(body, bytes):
            headers = [*self.wire_headers, (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.wire_headers})
        ended = False
        async with aclosing(body) as parts:  # type: ignore[type-var]
            async for part in parts:
                ended = type(part) is LastPart
                if ended:
                    before_last()
                await send({"type": "http.response.body", "body": part, "more_body": not ended})
        if not ended:
            await send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
