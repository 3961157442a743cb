"""Makes connections: name, guard, socket, TLS. What was checked is what is connected to; nothing is resolved twice."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from aiohappyeyeballs import AddrInfoType, start_connection

from gateway_project.lib.net import DNS_TTL, Guard
from routing.http1.connection import Connection
from routing.http1.errors import ConnectFailed
from routing.http1.request import Origin

# Seconds after which the next address is tried beside one that does not answer (RFC 8305).
NEXT_ADDRESS: Final = 0.25
# Names that are remembered at most.
MANY: Final = 1000
# Seconds that a new answer to a name known before is waited for, and for which the old one then still serves. A few
# threads ask the DNS for everybody, and names that are never answered can keep all of them.
FRESH_WITHIN, STALE_FOR = 1.0, 3600.0

Key = tuple[str, int]
Addresses = Sequence[AddrInfoType]


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's authorities, names checked: Python's own choice of what is safe. Shared, since it takes long."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Makes the connections of one pool, and remembers names for `DNS_TTL` seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, guard: Callable[[], Guard]) -> None:
        self.loop = loop
        self.guard = guard
        self._known: dict[Key, tuple[float, Addresses]] = {}
        self._asking: dict[Key, asyncio.Task[Addresses]] = {}

    async def dial(self, origin: Origin, make: Callable[[], Connection]) -> Connection:
        """A new connection to `origin`. Raises `ConnectFailed`; how long it may take is the caller's to say."""
        secure = False
        try:
            addresses = await self._resolve((origin.host, origin.port))
            guard = self.guard()
            for *_, address in addresses:
                guard.check(origin.host, str(address[0]), origin.port)
            connected = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS, loop=self.loop)
            secure = origin.tls
            return await self._talk(connected, origin, make)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectFailed(error, tls=secure) from None
        except RuntimeError as error:  # uvloop's word for a socket that cannot be used
            raise ConnectFailed(OSError(str(error)), tls=secure) from None

    async def _talk(self, connected: socket.socket, origin: Origin, make: Callable[[], Connection]) -> Connection:
        try:
            if not origin.tls:
                return (await self.loop.create_connection(make, sock=connected))[1]
            name = origin.host.rstrip(".")
            return (await self.loop.create_connection(make, sock=connected, ssl=tls_context(), server_hostname=name))[1]
        except BaseException:
            connected.close()
            raise

    async def _resolve(self, key: Key) -> Addresses:
        literal = _literal(key)
        if literal is not None:
            return literal
        known = self._known.get(key)
        if known is not None and known[0] > self.loop.time():
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = self.loop.create_task(self._ask(key))
            asking.add_done_callback(lambda done: self._answered(key, done))
        # Others may wait for the same name: who leaves does not take the answer along.
        if known is None or known[0] + STALE_FOR < self.loop.time():
            return await asyncio.shield(asking)
        done, _ = await asyncio.wait([asking], timeout=FRESH_WITHIN)
        return asking.result() if done else known[1]

    async def _ask(self, key: Key) -> Addresses:
        host, port = key
        try:
            return await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except UnicodeError:  # a label that is empty or too long
            raise socket.gaierror(socket.EAI_NONAME, "not a host's name") from None

    def _answered(self, key: Key, asked: "asyncio.Task[Addresses]") -> None:
        del self._asking[key]
        if asked.cancelled() or asked.exception() is not None:
            return
        if len(self._known) >= MANY:
            self._known.clear()
        self._known[key] = (self.loop.time() + DNS_TTL, asked.result())

    async def close(self) -> None:
        """Ask for no name any more."""
        for asking in list(self._asking.values()):
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await asking


def _literal(key: Key) -> Addresses | None:
    """The address of a host that is written as one: nobody need be asked."""
    host, port = key
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    if version == 4:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))]
