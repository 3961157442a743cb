"""Connections that are kept for the next request, by origin; and one pool for each event loop and kind of provider."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway_project.lib.event_loop import running_loop
from gateway_project.lib.net import Guard
from routing.http1.connection import Connection
from routing.http1.dial import Dialer
from routing.http1.errors import ConnectTimedOut
from routing.http1.request import Origin, Request
from routing.http1.response import Response
from routing.providers.base import Timeouts


class Pool:
    """Sends requests, each on a connection of its own for as long as it takes.

    With `local` no connection is made to a public address, whatever the DNS says of a name by now.
    """

    def __init__(self, *, local: bool = False, guard: Callable[[], Guard] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer(self._loop, guard or (lambda: Guard.from_settings(local=local)))
        # In order of their last use, as a dict keeps it; the latest is taken first, and the others run out. An origin
        # is forgotten with the last of its connections.
        self._waiting: dict[Origin, dict[Connection, None]] = {}
        self._closed = False

    def send(self, request: Request, body: bytes | None, timeouts: Timeouts, more: bytes = b"") -> Awaitable[Response]:
        """The answer's head; its body comes with `Response.read`. `more` are further header lines.

        Raises `ConnectFailed` and `ConnectTimedOut` (nothing was sent), `TimedOut`, `Dropped` and `NotHttp`. Nothing
        is sent twice: who knows whether a request may be repeated is the caller.
        """
        head, head_due = request.wire(body, more), self._loop.time() + timeouts.first_byte
        connection = self._take(request.origin)
        if connection is None:
            return self._ask_anew(request.origin, head, body or b"", timeouts, head_due)
        return connection.ask(head, body or b"", timeouts, head_due)

    def _take(self, origin: Origin) -> Connection | None:
        """A connection that waits, if there is one that the server has not closed meanwhile."""
        waiting = self._waiting.get(origin)
        while waiting:
            connection, _ = waiting.popitem()
            if connection.usable:
                return connection
        return None

    async def _ask_anew(
        self, origin: Origin, head: bytes, body: bytes, timeouts: Timeouts, head_due: float
    ) -> Response:
        connection = await self._connect(origin, timeouts)
        return await connection.ask(head, body, timeouts, head_due)

    async def _connect(self, origin: Origin, timeouts: Timeouts) -> Connection:
        try:
            async with asyncio.timeout(min(timeouts.connect, timeouts.first_byte)):
                return await self._dialer.dial(origin, lambda: Connection(self._loop, self, origin))
        except TimeoutError:
            raise ConnectTimedOut("there was no connection in time") from None

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete."""
        if self._closed:
            connection.abort()
            return
        waiting = self._waiting.get(connection.origin)
        if waiting is None:
            waiting = self._waiting[connection.origin] = {}
        waiting[connection] = None

    def forget(self, connection: Connection) -> None:
        """The connection is closed, or about to be."""
        waiting = self._waiting.get(connection.origin)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._waiting[connection.origin]

    async def close(self) -> None:
        """Close the connections that wait; those in use end with their answers."""
        self._closed = True
        for waiting in list(self._waiting.values()):
            for connection in list(waiting):
                connection.abort()
        await self._dialer.close()
        await asyncio.sleep(0)


# By event loop, and by what its addresses are for.
_pools: dict[tuple[asyncio.AbstractEventLoop, bool | None], Pool] = {}
FOR_CLIENTS = None


def pool(*, local: bool = False) -> Pool:
    """This event loop's pool for providers that must be `local`, or for all others."""
    key = (running_loop(), local)
    found = _pools.get(key)
    if found is None:
        found = _pools[key] = Pool(local=local)
    return found


def clients_pool() -> Pool:
    """This event loop's pool for what requests name: it reaches public addresses only."""
    key = (running_loop(), FOR_CLIENTS)
    found = _pools.get(key)
    if found is None:
        found = _pools[key] = Pool(guard=Guard.for_clients)
    return found


async def close_pools() -> None:
    """Close this event loop's pools, at the end of a test or a process."""
    for use in (False, True, FOR_CLIENTS):
        found = _pools.pop((asyncio.get_running_loop(), use), None)
        if found is not None:
            await found.close()
