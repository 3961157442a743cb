"""Where a Redis is and how it is greeted, as its URL says. redis-py, 5 MB, is imported where there is one."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gateway_project.lib.resp import Part

P = TypeVar("P", bound=asyncio.Protocol)


class Address:
    """A Redis' URL, read. Its repr shows nothing of it: it may hold a password."""

    def __init__(self, url: str) -> None:
        from redis.connection import parse_url

        self._url: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]

    def greeting(self) -> Iterator[tuple[Part, ...]]:
        """The commands that begin a connection; none of their replies may be an error."""
        username, password = self._url.get("username"), self._url.get("password")
        if password:
            yield (b"AUTH", username, password) if username else (b"AUTH", password)
        yield (b"CLIENT", b"SETNAME", b"llm-gateway")
        if self._url.get("db"):
            yield (b"SELECT", int(self._url["db"]))
        yield (b"PING",)  # one that still loads its data says so

    async def dial(self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], P]) -> P:
        """A connection to it. Raises `OSError`, which `ssl.SSLError` is one of."""
        if "path" in self._url:
            _, made = await loop.create_unix_connection(protocol, self._url["path"])
            return made
        _, made = await loop.create_connection(
            protocol, self._url.get("host", "localhost"), self._url.get("port", 6379), ssl=self._tls()
        )
        return made

    def _tls(self) -> ssl.SSLContext | None:
        """What `rediss://` asks for, with redis-py's names for the options in the URL's query."""
        from redis.connection import SSLConnection

        if self._url.get("connection_class") is not SSLConnection:
            return None
        context = ssl.create_default_context(cafile=self._url.get("ssl_ca_certs"))
        if self._url.get("ssl_cert_reqs") == "none":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif str(self._url.get("ssl_check_hostname", True)).lower() in ("false", "no", "0"):
            context.check_hostname = False
        if self._url.get("ssl_certfile"):
            context.load_cert_chain(self._url["ssl_certfile"], self._url.get("ssl_keyfile"))
        return context
