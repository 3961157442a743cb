"""One attempt: asks one target once, checks that its answer has begun as it should, and reports how it went."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from analytics import metrics, pricing, tokens
from analytics.usage import Usage
from gateway_project.lib import bounded_json
from routing.embeddings import answers, house
from routing.embeddings.reading import OWN_FIELDS
from routing.exchange import Attempt, Exchange
from routing.flight import Flight
from routing.plausible import is_possible
from routing.privacy import guard
from routing.providers import faults, sse
from routing.providers.adapted import adapt
from routing.providers.base import Failure, Reply, Target, Timeouts, Transport, UpstreamError
from routing.providers.demo import Demo
from routing.providers.embedder import Embedder
from routing.providers.litellm_later import LiteLLM
from routing.providers.openai_wire import OpenAIWire

TRANSPORTS: dict[str, Transport] = {
    "openai": OpenAIWire(), "litellm": LiteLLM(), "demo": Demo(), "embedder": Embedder(),
}  # fmt: skip

# Bytes of comments that a stream may begin with. They are kept until its first chunk says that it is one.
MAX_COMMENTS = 256 * 1024


@dataclass(slots=True)
class Answer:
    """A target's answer that has begun: a whole one's JSON, or a stream's first block."""

    attempt: Attempt
    flight: Flight
    reply: Reply
    whole: dict[str, Any] = field(default_factory=dict)
    first_block: bytes = b""


async def ask(exchange: Exchange, target: Target, flight: Flight, timeouts: Timeouts, *, named: bool) -> Answer:
    """The answer of `target`, once it has begun; `flight` has the end of it still to come.

    Appends to `exchange.attempts`. Raises `UpstreamError`, which the health has been told of.
    """
    attempt = Attempt(target, time.time())
    exchange.attempts.append(attempt)
    exchange.target = target
    started = time.perf_counter()
    try:
        guard(exchange.decision, target)
        body = _body_for(exchange, target, named=named)
        reply = await TRANSPORTS[target.kind.wire].send(
            target, exchange.endpoint.path, body, stream=exchange.stream, timeouts=timeouts
        )
        answer = Answer(attempt, flight, reply)
        try:
            if reply.blocks is not None:
                answer.first_block = await begun(reply.blocks)
            elif exchange.endpoint.embeds:
                answer.whole = answers.checked(exchange, reply.body or b"")
                attempt.target = house.that_answered(target, answer.whole)
            else:
                answer.whole = checked(reply.body or b"")
        except BaseException:
            reply.close()
            raise
        attempt.status = 200
        flight.first_byte()
        return answer
    except UpstreamError as error:
        attempt.status, attempt.failure, attempt.error = error.status, error.failure, error.message
        if error.failure is Failure.TIMEOUT:
            bill(exchange, attempt)
        faults.report(flight, target, error, named=named)
        if not faults.is_clients(error, named=named):
            metrics.provider_error(target.kind.id, error.failure)
        raise
    except asyncio.CancelledError:
        if not attempt.cancelled:  # a race that it lost has said so
            attempt.error, attempt.cancelled = "the client left", True
        raise
    finally:
        attempt.ms = round((time.perf_counter() - started) * 1000)
        if attempt.status != 200:
            flight.given_up()


def bill(exchange: Exchange, attempt: Attempt, usage: Usage | None = None) -> None:
    """Price an attempt whose answer was not taken: by `usage`, if it can be, else by the prompt, which it was sent."""
    if usage is None or not is_possible(exchange.body, attempt.target, usage):
        prompt = tokens.estimate_request(exchange.body, exchange.endpoint.content, attempt.target.model)
        usage = Usage(prompt=prompt, estimated=True)
    attempt.usage, attempt.cost = usage, pricing.cost(attempt.target.facts.price, usage)


def _body_for(exchange: Exchange, target: Target, *, named: bool) -> dict[str, Any]:
    """The client's body with the target's model, and with usage asked for. A copy: two targets may be asked at once."""
    body = {**exchange.body, "model": target.model}
    if exchange.endpoint.embeds and target.kind.wire != "embedder":
        for field in OWN_FIELDS:
            body.pop(field, None)
    if not named:
        adapt(body, target)
    if exchange.stream and not exchange.usage_wanted and target.kind.stream_options:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body


def checked(body: bytes) -> dict[str, Any]:
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


async def begun(blocks: AsyncIterator[bytes]) -> bytes:
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
