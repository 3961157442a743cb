"""Providers that speak OpenAI's wire format: bytes in, bytes out."""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from yarl import URL

from gateway_project.lib.net import BlockedAddress
from routing import http1, loops
from routing.providers import sse
from routing.providers.base import Failure, Target, Timeouts, UpstreamError

# The largest answer that is read whole.
MAX_ANSWER = 64 * 1024 * 1024
# Of an error's body; it is only read for its message.
MAX_ERROR = 64 * 1024
ERROR_SECONDS = 5
# Seconds. Clients believe what they are told: none shall stay away for years on a provider's word.
LONGEST_RETRY_AFTER = 86_400.0


class WireReply:
    """An answer that came over HTTP: read whole into `body`, or a stream of `blocks`."""

    __slots__ = ("blocks", "body", "response")

    def __init__(self, response: http1.Response) -> None:
        self.response = response
        self.body: bytes | None = None
        self.blocks: AsyncIterator[bytes] | None = None

    @property
    def ended(self) -> bool:
        return self.response.complete

    def close(self) -> None:
        self.response.close()


class OpenAIWire:
    """The transport of every kind whose wire is `openai`."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> WireReply:
        """See `routing.providers.base.Transport`."""
        request: http1.Request | None = target.prepared.get(endpoint)
        if request is None:
            request = target.prepared[endpoint] = _prepared(target, endpoint)
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError:  # orjson reads what is 1024 deep, and writes what is 254 deep
            raise UpstreamError(Failure.STATUS, "The body is nested too deeply.", status=400) from None
        try:
            response = await http1.pool(local=target.local).send(request, data, timeouts, loops.header_line())
        except http1.HttpError as error:
            raise unanswered(error, timeouts) from None
        try:
            if response.status >= 300:
                raise await refusal(response, target)
            reply = WireReply(response)
            if stream:
                reply.blocks = blocks(response)
            else:
                reply.body = response.at_hand() or await whole(response)
        except BaseException:
            response.close()
            raise
        return reply


def prepare(url: URL | str, headers: dict[str, str]) -> http1.Request:
    """A call of `url` with `headers`, all but the one against loops. Raises `UpstreamError` when it cannot be sent."""
    try:
        return http1.Request.prepare("POST", url, headers)
    except ValueError as error:
        raise UpstreamError(Failure.CONNECT, f"it cannot be asked: {error}") from None


def _prepared(target: Target, endpoint: str) -> http1.Request:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "llm-gateway"}
    if target.secret is not None:
        headers |= target.kind.auth_headers(target.secret.reveal())
    return prepare(target.base_url + endpoint, headers)


def unanswered(error: http1.HttpError, timeouts: Timeouts) -> UpstreamError:
    """What it means that a request within `timeouts` was not answered with a head."""
    match error:
        case http1.ConnectTimedOut():
            patience = min(timeouts.connect, timeouts.first_byte)
            return UpstreamError(Failure.CONNECT_TIMEOUT, f"no connection within {patience:g} s")
        case http1.TimedOut():
            return UpstreamError(Failure.TIMEOUT, f"no answer within {timeouts.first_byte:g} s")
        case http1.ConnectFailed():
            return UpstreamError(Failure.CONNECT, _in_plain_words(error))
        case http1.NotHttp():
            return UpstreamError(Failure.JUNK, "the answer is not HTTP as it should be")
    return UpstreamError(Failure.DROPPED, "the connection broke before an answer")


def _in_plain_words(error: http1.ConnectFailed) -> str:
    """What kept the connection from being made, without the address."""
    cause = error.cause
    if isinstance(cause, BlockedAddress):
        return str(cause)
    if error.tls:
        return "the TLS handshake failed"
    if isinstance(cause, socket.gaierror):
        return "the host's name cannot be resolved"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    return f"the connection failed ({os.strerror(cause.errno) if cause.errno else 'no route'})"


async def refusal(response: http1.Response, target: Target) -> UpstreamError:
    """The error that an upstream's status of 300 or more means."""
    if response.status < 400:
        return UpstreamError(Failure.JUNK, f"answered with a redirect ({response.status}), which is not followed")
    body = await _beginning(response)
    secret = target.secret.reveal() if target.secret is not None else "\0"
    body = body.replace(secret.encode(), b"***")
    # JSON may write the same characters in several ways, so what was read of it is searched as well.
    message = (_message(body) or f"HTTP {response.status}").replace(secret, "***")
    return UpstreamError(
        Failure.STATUS,
        message,
        status=response.status,
        body=body,
        retry_after=_retry_after(response.header(b"retry-after")),
    )


async def _beginning(response: http1.Response) -> bytes:
    """The first `MAX_ERROR` bytes of an error's body, or what comes of them soon."""
    body = bytearray()
    with contextlib.suppress(TimeoutError, http1.HttpError):
        async with asyncio.timeout(ERROR_SECONDS):
            while len(body) < MAX_ERROR and (part := await response.read()):
                body += part
    return bytes(body[:MAX_ERROR])


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


async def whole(response: http1.Response) -> bytes:
    """The whole body. Raises `UpstreamError`."""
    try:
        first = await response.read()
        part = await response.read()
        if not part:  # as nearly always
            return first
        # Not a list of parts: they may be as small as their sender likes.
        body = bytearray(first)
        while part:
            body += part
            if len(body) > MAX_ANSWER:
                raise UpstreamError(Failure.JUNK, f"the answer is longer than {MAX_ANSWER} bytes")
            part = await response.read()
        return bytes(body)
    except http1.HttpError as error:
        raise _broken(error) from None


async def blocks(response: http1.Response) -> AsyncIterator[bytes]:
    """What has arrived, cut after the last whole event; nothing that is not whole is ever passed on."""
    # The event that is not whole yet. A long one may come a byte at a time, so no byte is searched or copied again
    # for each part that arrives.
    rest = bytearray()
    try:
        while part := await response.read():
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
    except http1.HttpError as error:
        raise _broken(error) from None


def _broken(error: http1.HttpError) -> UpstreamError:
    if isinstance(error, http1.TimedOut):
        return UpstreamError(Failure.TIMEOUT, "the answer stopped coming")
    if isinstance(error, http1.NotHttp):
        return UpstreamError(Failure.JUNK, "the answer is not HTTP as it should be")
    return UpstreamError(Failure.DROPPED, "the connection broke during the answer")
