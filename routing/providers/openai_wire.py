"""Providers that speak OpenAI's wire format: bytes in, bytes out, through one pooled session per event loop."""

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from gateway_project.lib.net import BlockedAddress, guarded_connector
from routing import loops
from routing.providers import sse
from routing.providers.base import Failure, Target, Timeouts, UpstreamError

# The largest answer that is read whole.
MAX_ANSWER = 64 * 1024 * 1024
# Of an error's body; it is only read for its message.
MAX_ERROR = 64 * 1024
# Seconds. Clients believe what they are told: none shall stay away for years on a provider's word.
LONGEST_RETRY_AFTER = 86_400.0

_sessions: dict[tuple[asyncio.AbstractEventLoop, bool], aiohttp.ClientSession] = {}


def session(*, local: bool = False) -> aiohttp.ClientSession:
    """This event loop's pooled session. It follows no redirect, keeps no cookie and reads no proxy variable.

    The one for `local` providers reaches no public address, whatever the DNS says of their names by now.
    """
    key = (asyncio.get_running_loop(), local)
    found = _sessions.get(key)
    if found is None or found.closed:
        found = _sessions[key] = aiohttp.ClientSession(
            connector=guarded_connector(local=local, limit=0, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            read_bufsize=256 * 1024,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
    return found


async def close_session() -> None:
    """Close this event loop's sessions, at the end of a test or a process."""
    for local in (False, True):
        found = _sessions.pop((asyncio.get_running_loop(), local), None)
        if found is not None:
            await found.close()


class Patience:
    """Aborts a connection that was silent for `idle` seconds, or open for `total`. Costs nothing per chunk."""

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts) -> None:
        self.loop = asyncio.get_running_loop()
        self.response = response
        self.idle = timeouts.idle
        self.ends_at = self.loop.time() + timeouts.total
        self.heard_at = self.loop.time()
        self.expired = False
        self.timer = self.loop.call_later(min(timeouts.idle, timeouts.total), self._look)

    def _look(self) -> None:
        now = self.loop.time()
        due = min(self.heard_at + self.idle, self.ends_at)
        if now < due:
            self.timer = self.loop.call_at(due, self._look)
            return
        self.expired = True
        self.response.close()

    def stop(self) -> None:
        self.timer.cancel()


class WireReply:
    """An answer that came over HTTP: read whole into `body`, or a stream of `blocks`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.body: bytes | None = None
        self.blocks: AsyncIterator[bytes] | None = None

    @property
    def ended(self) -> bool:
        return self.response.content.is_eof()

    def close(self) -> None:
        self.response.close()


class OpenAIWire:
    """The transport of every kind whose wire is `openai`."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> WireReply:
        """See `routing.providers.base.Transport`."""
        prepared = target.prepared
        if endpoint not in prepared:
            prepared[endpoint] = URL(target.base_url + endpoint)
            prepared["headers"] = _headers(target)
            prepared["timeout"] = connect_within(timeouts)
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError:  # orjson reads what is 1024 deep, and writes what is 254 deep
            raise UpstreamError(Failure.STATUS, "The body is nested too deeply.", status=400) from None
        headers = prepared["headers"]
        if loops.passed():
            headers = CIMultiDict({**headers, loops.HEADER: loops.header_value()})
        response = await post(prepared[endpoint], data, headers, prepared["timeout"], timeouts, local=target.local)
        try:
            if response.status >= 300:
                raise await refusal(response, target)
            reply = WireReply(response)
            patience = Patience(response, timeouts)
            if stream:
                reply.blocks = blocks(response, patience)
            else:
                reply.body = await whole(response, patience)
        except BaseException:
            response.close()
            raise
        return reply


def connect_within(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """What aiohttp is to see to; the other timeouts are `post`'s and `Patience`'s."""
    return aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect)


async def post(
    url: URL,
    data: bytes,
    headers: CIMultiDict[str],
    connecting: aiohttp.ClientTimeout,
    timeouts: Timeouts,
    *,
    local: bool,
) -> aiohttp.ClientResponse:
    """The answer's head. Follows no redirect; a `local` call reaches no public address.

    Raises `UpstreamError` when there is none in time.
    """
    try:
        async with asyncio.timeout(timeouts.first_byte):
            return await session(local=local).post(
                url, data=data, headers=headers, allow_redirects=False, timeout=connecting
            )
    except aiohttp.ConnectionTimeoutError:
        raise UpstreamError(Failure.CONNECT_TIMEOUT, f"no connection within {timeouts.connect:g} s") from None
    except TimeoutError:
        raise UpstreamError(Failure.TIMEOUT, f"no answer within {timeouts.first_byte:g} s") from None
    except aiohttp.ClientError as error:
        raise _connection_failure(error) from None


def _headers(target: Target) -> CIMultiDict[str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "llm-gateway"}
    headers[loops.HEADER] = loops.own_name()
    if target.secret is not None:
        headers |= target.kind.auth_headers(target.secret.reveal())
    return CIMultiDict(headers)


def _connection_failure(error: aiohttp.ClientError) -> UpstreamError:
    """What went wrong with the connection, in plain words without an address."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, BlockedAddress):
        return UpstreamError(Failure.CONNECT, str(error.os_error))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UpstreamError(Failure.CONNECT, "the host's name cannot be resolved")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return UpstreamError(Failure.CONNECT, "the TLS handshake failed")
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ConnectionRefusedError):
            return UpstreamError(Failure.CONNECT, "the connection was refused")
        reason = os.strerror(error.errno) if error.errno else "no route"
        return UpstreamError(Failure.CONNECT, f"the connection failed ({reason})")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return UpstreamError(Failure.DROPPED, "the connection broke before an answer")
    return UpstreamError(Failure.JUNK, "the answer is not HTTP as it should be")


async def refusal(response: aiohttp.ClientResponse, target: Target) -> UpstreamError:
    """The error that an upstream's status of 300 or more means."""
    if response.status < 400:
        return UpstreamError(Failure.JUNK, f"answered with a redirect ({response.status}), which is not followed")
    try:
        async with asyncio.timeout(5):
            body = await response.content.read(MAX_ERROR)
    except (TimeoutError, aiohttp.ClientError):
        body = b""
    secret = target.secret.reveal() if target.secret is not None else "\0"
    body = body.replace(secret.encode(), b"***")
    # JSON may write the same characters in several ways, so what was read of it is searched as well.
    message = (_message(body) or f"HTTP {response.status}").replace(secret, "***")
    return UpstreamError(
        Failure.STATUS,
        message,
        status=response.status,
        body=body,
        retry_after=_retry_after(response.headers.get("Retry-After", "")),
    )


def _retry_after(value: str) -> float | None:
    """The seconds that a `Retry-After` asks for, as a number or as a date; None when it says nothing usable."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()), LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None


def _message(body: bytes) -> str:
    """The message in an error's body, whichever of the usual shapes it has; empty when it has none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "" if body.lstrip()[:1] == b"<" else body[:2000].decode("utf-8", "replace").strip()
    for key in ("error", "message", "detail"):
        if type(found) is dict and found.get(key):
            found = found[key]
            if type(found) is dict:
                found = found.get("message")
            break
    return found[:2000] if type(found) is str else ""


async def whole(response: aiohttp.ClientResponse, patience: Patience) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while part := await response.content.readany():
            patience.heard_at = patience.loop.time()
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER:
                raise UpstreamError(Failure.JUNK, f"the answer is longer than {MAX_ANSWER} bytes")
    except (aiohttp.ClientError, ValueError) as error:
        raise _broken(error, patience) from None
    finally:
        patience.stop()
    return b"".join(parts)


async def blocks(response: aiohttp.ClientResponse, patience: Patience) -> AsyncIterator[bytes]:
    """What has arrived, cut after the last whole event; nothing that is not whole is ever passed on."""
    content = response.content
    # The event that is not whole yet. A long one may come a byte at a time, so no byte is searched or copied again
    # for each part that arrives.
    rest = bytearray()
    try:
        while part := await content.readany():
            patience.heard_at = patience.loop.time()
            if rest:
                rest += part
                if not sse.whole_events(rest[-len(part) - 3 :]):
                    if len(rest) > sse.MAX_EVENT:
                        raise UpstreamError(Failure.JUNK, f"an event is longer than {sse.MAX_EVENT} bytes")
                    continue
                part, rest = bytes(rest), bytearray()
            end = sse.whole_events(part)
            if end < len(part):
                rest += part[end:]
            if end:
                yield part[:end] if rest else part
        if rest.strip():
            # Some servers end the last event with the stream.
            yield bytes(rest.rstrip()) + b"\n\n"
    except (aiohttp.ClientError, ValueError) as error:
        raise _broken(error, patience) from None
    finally:
        patience.stop()


def _broken(error: Exception, patience: Patience) -> UpstreamError:
    if patience.expired:
        return UpstreamError(Failure.TIMEOUT, "the answer stopped coming")
    if isinstance(error, ValueError):
        return UpstreamError(Failure.JUNK, "a line of the answer is too long")
    return UpstreamError(Failure.DROPPED, "the connection broke during the answer")
