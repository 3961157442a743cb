"""Asks the targets of a route until one answers. Retry, fallback and resting live here and nowhere else."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import orjson

from analytics import metrics
from gateway_project.lib import bounded_json
from gateway_project.lib.errors import (
    ApiError,
    NoAvailableModel,
    UnsupportedByBackend,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from routing import health
from routing.exchange import Attempt, Exchange
from routing.policy import Route
from routing.providers import sse
from routing.providers.base import DEFAULT_TIMEOUTS, Failure, Reply, Target, Timeouts, Transport, UpstreamError
from routing.providers.demo import Demo
from routing.providers.litellm_bridge import LiteLLMBridge
from routing.providers.openai_wire import OpenAIWire

TRANSPORTS: dict[str, Transport] = {"openai": OpenAIWire(), "litellm": LiteLLMBridge(), "demo": Demo()}

# How often one target is asked: once, and two more tries.
TRIES = 3
# Seconds before the second try, doubled for the third; the wait is drawn between half of it and all of it.
BACKOFF = 0.25
# A provider that asks for more patience than this many seconds is left for the next target instead.
LONGEST_WAIT = 10.0

# Bytes of comments that a stream may begin with. They are kept until its first chunk says that it is one.
MAX_COMMENTS = 256 * 1024

# An upstream's 4xx that says something about the request itself. 401, 402, 403 are the operator's to mend, 408 and
# 429 pass; 404 is the client's fault only when the client named the model.
CLIENT_FAULTS = frozenset({400, 409, 411, 413, 414, 415, 416, 422, 424, 431, 451})
RETRIED_STATUS = frozenset({408, 429})
RETRIED_FAILURES = frozenset({Failure.CONNECT, Failure.CONNECT_TIMEOUT, Failure.DROPPED})


class UpstreamRefused(ApiError):
    """An upstream's 4xx that is the client's fault: passed on with its status and message."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(error.message)
        shape = _error_object(error.body)
        self.status = error.status or 400
        self.type = shape.get("type", "invalid_request_error")
        self.code = shape.get("code", "invalid_request_error")
        self.param = shape.get("param")


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = found.get("error") if type(found) is dict else None
    if type(error) is not dict:
        return {}
    return {key: value for key, value in error.items() if type(value) is str and len(value) <= 300}


async def reach(exchange: Exchange, route: Route, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Reply:
    """The first successful reply of `route`, a stream with its first event already there.

    Fills `exchange.attempts` and `exchange.target`. Raises what the caller is to be told when every target failed.
    """
    deadline = time.monotonic() + timeouts.total
    last: UpstreamError | None = None
    for target in route.targets:
        for tries in range(1, TRIES + 1):
            try:
                return await _ask(exchange, target, timeouts)
            except UpstreamError as error:
                last = error
                if _is_clients_fault(error, route):
                    raise UpstreamRefused(error) from None
                metrics.provider_error(target.kind.id, error.failure)
                wait = _wait(error, tries)
                if wait is None or time.monotonic() + wait > deadline:
                    break
                exchange.upstream_seconds += wait
                await asyncio.sleep(wait)
        health.current.failed(target, last.retry_after if last else None)
        if time.monotonic() > deadline:
            break
    _give_up(exchange, last)


async def _ask(exchange: Exchange, target: Target, timeouts: Timeouts) -> Reply:
    """One attempt."""
    attempt = Attempt(target, time.time())
    exchange.attempts.append(attempt)
    exchange.target = target
    started = time.perf_counter()
    try:
        body = _body_for(exchange, target)
        reply = await TRANSPORTS[target.kind.wire].send(
            target, exchange.endpoint.path, body, stream=exchange.stream, timeouts=timeouts
        )
        if reply.blocks is not None:
            try:
                exchange.first_block = await _begun(reply.blocks)
            except BaseException:
                reply.close()
                raise
        else:
            exchange.answer = _checked(reply.body or b"")
        attempt.status = 200
    except UpstreamError as error:
        attempt.status, attempt.failure, attempt.error = error.status, error.failure, error.message
        raise
    except asyncio.CancelledError:
        attempt.error, attempt.cancelled = "the client left", True
        raise
    finally:
        elapsed = time.perf_counter() - started
        attempt.ms = round(elapsed * 1000)
        exchange.upstream_seconds += elapsed
    health.current.answered(target)
    return reply


def _body_for(exchange: Exchange, target: Target) -> dict[str, Any]:
    """The client's body with the target's model, and with usage asked for."""
    body = exchange.body
    body["model"] = target.model
    if exchange.stream and not exchange.usage_wanted and target.kind.stream_options:
        return {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
    return body


def _checked(body: bytes) -> dict[str, Any]:
    """A whole answer's JSON. Raises `UpstreamError` when it is not a completion."""
    if not body.strip():
        raise UpstreamError(Failure.JUNK, "answered 200 with nothing in it")
    try:
        found = bounded_json.loads(body)
    except bounded_json.TooManyValues as error:
        raise UpstreamError(Failure.JUNK, f"answered with too much: {error}") from None
    except orjson.JSONDecodeError:
        what = "an HTML page" if body.lstrip()[:1] == b"<" else "something that is not JSON"
        raise UpstreamError(Failure.JUNK, f"answered with {what}") from None
    if type(found) is not dict or type(found.get("choices")) is not list:
        raise UpstreamError(Failure.JUNK, "answered with JSON that is not a completion")
    return found


async def _begun(blocks: AsyncIterator[bytes]) -> bytes:
    """The stream's first block, once it holds an event. Raises `UpstreamError` when that is none, or an error."""
    first = b""
    async for block in blocks:
        if not first and not sse.looks_like_events(block):
            what = "an HTML page" if block.lstrip()[:1] == b"<" else "something that is not an event stream"
            raise UpstreamError(Failure.JUNK, f"answered with {what}")
        first += block
        if b"data:" in block:  # what came before are comments, sent to keep the connection open
            break
        if len(first) > MAX_COMMENTS:
            raise UpstreamError(Failure.JUNK, f"answered with {MAX_COMMENTS} bytes of comments and no chunk")
    chunk = sse.first_chunk(first)
    if chunk is None:
        raise UpstreamError(Failure.JUNK, "answered with a stream without a chunk")
    if sse.is_error(chunk):
        raise UpstreamError(Failure.JUNK, "the stream began with an error")
    return first


def _is_clients_fault(error: UpstreamError, route: Route) -> bool:
    if error.failure is not Failure.STATUS:
        return False
    if error.status == 404:
        return route.named and bool(_error_object(error.body))
    return error.status in CLIENT_FAULTS


def _wait(error: UpstreamError, tries: int) -> float | None:
    """Seconds until the same target is asked again; None when it is not."""
    retried = error.failure in RETRIED_FAILURES or (
        error.failure is Failure.STATUS
        and error.status is not None
        and (error.status in RETRIED_STATUS or error.status >= 500)
        and error.status != 501
    )
    if not retried or tries >= TRIES:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_WAIT else None
    longest = BACKOFF * 2 ** (tries - 1)
    return random.uniform(longest / 2, longest)  # noqa: S311  (jitter, no secret)


def _give_up(exchange: Exchange, last: UpstreamError | None) -> NoReturn:
    attempts = exchange.attempts
    details = {"attempts": [attempt.summary() for attempt in attempts]}
    if last is not None and last.failure is Failure.UNSUPPORTED and len(attempts) == 1:
        raise UnsupportedByBackend(last.message, details=details)
    if attempts and all(attempt.failure in (Failure.TIMEOUT, Failure.CONNECT_TIMEOUT) for attempt in attempts):
        raise UpstreamTimeout("Every provider that was asked took too long.", details=details)
    if attempts and all(attempt.status == 429 for attempt in attempts):
        wait = last.retry_after if last and last.retry_after is not None else 1
        raise UpstreamRateLimited(
            "Every provider that was asked limits our rate.",
            details=details,
            headers={"retry-after": str(max(1, round(wait)))},
        )
    # Each target's last word; `details` has every attempt.
    said = {attempt.target.id: attempt.error for attempt in attempts}
    told = "; ".join(f"{name}: {error}" for name, error in said.items())
    raise NoAvailableModel(f"No provider could answer. {told}.", details=details)
