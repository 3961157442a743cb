"""Fetches what a URL leads to, on a user's word: no private address, no endless answer, no way around by a redirect."""

import contextlib
import functools
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpcore
from django.conf import settings
from yarl import URL

from gateway_project.lib.net import BlockedAddress, Guard, PrivateHost, look_up

# In all, redirects included; between two bytes.
SECONDS, IDLE_SECONDS = 60.0, 15.0
MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = [
    (b"accept", b"text/html,application/xhtml+xml,application/pdf,text/plain;q=0.9,*/*;q=0.8"),
    # What is small on the wire could be endless when it is unpacked.
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"llm-gateway"),
]


class FetchError(ValueError):
    """What is wrong with a URL, or with what answers there, in words that follow `url: `."""


@dataclass(frozen=True)
class Answer:
    """What answered: its media type, and its bytes as they come. Reading them may raise `FetchError`."""

    media_type: str
    blocks: Iterable[bytes]


@contextlib.contextmanager
def fetched(url: str) -> Iterator[Answer]:
    """The answer to `GET url`, redirects followed. Raises `FetchError`."""
    deadline = time.monotonic() + SECONDS
    with httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Guarded(deadline)) as pool:
        for _ in range(MOST_REDIRECTS + 1):
            check(url)
            with contextlib.ExitStack() as answered:
                with _worded():
                    sent = pool.stream("GET", _wire(url), headers=[*HEADERS, (b"host", _host(url))])
                    response = answered.enter_context(sent)
                headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
                if response.status in REDIRECTS and headers.get(b"location"):
                    url = _joined(url, headers[b"location"])
                    continue
                _check_answer(response.status, headers)
                yield Answer(headers.get(b"content-type", ""), _blocks(response))
                return
    raise FetchError(f"redirects more than {MOST_REDIRECTS} times.")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise FetchError("redirects to what is no URL.") from None


def check(url: str) -> None:
    """Raise `FetchError` unless `url` may be asked for. Its host's addresses are checked again at the connection."""
    if len(url) > 2000:
        raise FetchError("must be at most 2000 characters long.")
    try:
        parts = urlsplit(url)
        # What is behind the path is no part of where it leads.
        look_up(urlunsplit((parts.scheme, parts.netloc, parts.path or "/", "", "")), settings.CLIENTS_PRIVATE_HOSTS)
    except PrivateHost:
        raise FetchError("leads to a private address, where documents are not fetched from.") from None
    except ValueError as error:
        raise FetchError(str(error)) from None
    if not (parts.query + parts.fragment).isprintable():
        raise FetchError("must have no spaces, backslashes or control characters.")


def _check_answer(status: int, headers: dict[bytes, str]) -> None:
    if status != 200:
        raise FetchError(f"answered {status}.")
    if headers.get(b"content-encoding", "identity").lower() not in ("", "identity"):
        raise FetchError("answered in an encoding that was not asked for.")
    length = headers.get(b"content-length", "")
    if length.isdigit() and int(length) > settings.MAX_UPLOAD_BYTES:
        raise FetchError(f"leads to {length} bytes; a document may have {settings.MAX_UPLOAD_BYTES}.")


def _blocks(response: httpcore.Response) -> Iterator[bytes]:
    with _worded():
        yield from response.iter_stream()


@contextlib.contextmanager
def _worded() -> Iterator[None]:
    """Say what went wrong on the way for people. What is raised tells nothing of the network behind the gateway."""
    try:
        yield
    except BlockedAddress:
        raise FetchError("leads to a private address, where documents are not fetched from.") from None
    except httpcore.TimeoutException:
        raise FetchError(f"did not answer within {SECONDS:g} seconds.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError):
        raise FetchError("does not answer, or what it answers is not HTTP.") from None


def _wire(url: str) -> httpcore.URL:
    """`url` as it is sent: what is not ASCII in percent's form, names in the DNS's."""
    parsed = URL(url).with_fragment(None)
    return httpcore.URL(
        scheme=parsed.scheme.encode(),
        host=(parsed.raw_host or "").encode(),
        port=parsed.port,
        target=str(parsed.raw_path_qs).encode(),
    )


def _host(url: str) -> bytes:
    return str(URL(url).host_port_subcomponent).encode()


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Guarded(httpcore.NetworkBackend):
    """Connects to addresses that the guard lets through, and to exactly those that it saw; all within a deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        guard = Guard.for_clients()
        try:
            addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError):
            raise FetchError(f"names a host that is not known: {host}.") from None
        for address in addresses:
            guard.check(host, address, port)
        failure: Exception = httpcore.ConnectError("no address")
        for address in sorted(addresses, key=lambda each: ":" in each):
            try:
                connected = httpcore.SyncBackend().connect_tcp(address, port, min(5.0, _left(self._deadline)))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _Timed(connected, self._deadline)
        raise failure


class _Timed(httpcore.NetworkStream):
    """A connection that ends when its time is over, however slowly bytes drip in."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, min(IDLE_SECONDS, _left(self._deadline)))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, min(IDLE_SECONDS, _left(self._deadline)))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = min(IDLE_SECONDS, _left(self._deadline))
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, seconds), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left
