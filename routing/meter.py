"""Counts what an answer used, as it passes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

import orjson

from analytics import tokens
from analytics.usage import Usage, usage_from
from gateway_project.lib.errors import UpstreamTimeout
from gateway_project.lib.wire import LastPart
from routing.budgets.bounds import longest_answer
from routing.exchange import KEPT, Exchange
from routing.plausible import is_possible
from routing.providers import sse
from routing.providers.base import Failure, Reply, UpstreamError
from routing.settle import settle

# Bytes of a block in which its first event stands, or enough of it.
FIRST_EVENT = 1024

# Seconds that a stream may stay open upstream after its last event.
LAST_BYTE = 0.2

INTERRUPTED = "upstream_interrupted"


def read_usage(exchange: Exchange) -> None:
    """Take the usage of a whole answer, or count it."""
    if exchange.target is not None:
        exchange.usage = usage_from(exchange.answer, exchange.target.kind.id)
    if not _told(exchange):
        exchange.usage = estimated(exchange, tokens.answer_text(exchange.answer))


def _told(exchange: Exchange) -> bool:
    """Whether the upstream said what was used, and can have."""
    usage, target = exchange.usage, exchange.target
    return usage is not None and (target is None or is_possible(exchange.body, target, usage))


def estimated(exchange: Exchange, text: str, *, scale: float = 1.0) -> Usage:
    """The usage counted here, flagged so: the request's own tokens, and those of `text` times `scale`."""
    model = exchange.target.model if exchange.target else ""
    prompt = tokens.estimate_request(exchange.body, exchange.endpoint.content, model) if exchange.body else 0
    completion = round(tokens.count(text, model) * scale)
    # Another tokenizer may count more than the model, which wrote no more than it was allowed to.
    most = longest_answer(exchange.body)
    return Usage(prompt=prompt, completion=completion if most is None else min(completion, most), estimated=True)


class _Stream:
    """What is to be remembered of a stream while it passes."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.kind = exchange.target.kind.id if exchange.target else ""
        self.hidden = not exchange.usage_wanted
        self.kept: list[bytes] = exchange.streamed
        self.kept_bytes = self.seen_bytes = 0

    def pass_on(self, block: bytes) -> bytes:
        """`block` as the client is to see it; its usage, if it has one, is taken."""
        self.seen_bytes += len(block)
        # What is beyond is counted in proportion, if no usage comes.
        if self.kept_bytes < KEPT or self.exchange.keeps_all:
            self.kept.append(block)
            self.kept_bytes += len(block)
        last = block.rfind(sse.USAGE)
        return block if last < 0 else self._with_usage(block, last)

    def _with_usage(self, block: bytes, last: int) -> bytes:
        """Take the usage of a block that mentions it last at `last`; hide what is there because we asked for it."""
        start, end = sse.event_around(block, last)
        # Who mentions usage beside the event that was asked for does so in each chunk, so the first one tells.
        if block.find(sse.USAGE, 0, min(start, FIRST_EVENT)) < 0:
            events = [(start, end)] if sse.has_usage(block[start:end]) else []
            nulls = not events
        else:
            events, nulls = list(sse.usage_events(block)), True
        shown, at = [], 0
        for start, end in events:
            if self._take_usage(block[start:end]) and self.hidden:
                shown.append(block[at:start])
                at = end
        block = b"".join((*shown, block[at:])) if shown else block
        return sse.without_null_usage(block) if nulls and self.hidden else block

    def _take_usage(self, event: bytes) -> bool:
        """Read an event's usage. True when the event has nothing else to say."""
        chunk = sse.json_of(event)
        if chunk is None:
            return False
        self.exchange.usage = usage_from(chunk, self.kind) or self.exchange.usage
        return type(chunk.get("usage")) is dict and not chunk.get("choices")

    def count(self) -> None:
        """Count the tokens here if no usage came that can be."""
        if not _told(self.exchange):
            text = tokens.completion_text(b"".join(self.kept))
            self.exchange.usage = estimated(self.exchange, text, scale=self.seen_bytes / max(self.kept_bytes, 1))


async def metered(exchange: Exchange, reply: Reply, blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """`blocks`, the stream of `reply`, as the client is to see them.

    Settles the exchange before the last of them. When it is closed before, it counts what has passed.

    An upstream that breaks off ends the stream with one error event.
    """
    stream = _Stream(exchange)
    exchange.first_byte = time.perf_counter()
    try:
        block = exchange.first_block
        while True:
            failed_at = sse.error_event(block)
            if failed_at is not None:
                if shown := stream.pass_on(block[:failed_at]):
                    yield shown
                raise UpstreamError(Failure.DROPPED, "it sent an error in the middle of its answer")
            ended = sse.ends(block)
            shown = stream.pass_on(block)
            if ended:
                break
            if shown:
                yield shown
            try:
                waited = time.perf_counter()
                block = await anext(blocks)
            except StopAsyncIteration:
                # Not every server says [DONE]; ours does.
                shown = sse.DONE
                break
            finally:
                exchange.upstream_seconds += time.perf_counter() - waited
        stream.count()
        settle(exchange)
        yield LastPart(shown)
        if not reply.ended:
            await _drain(blocks)
    except UpstreamError as error:
        # The client was told 200 before; the record says what became of it.
        exchange.status, exchange.error_code, exchange.error = 502, _code(error), error.message
        if exchange.attempts:
            exchange.attempts[-1].error = error.message
        stream.count()
        settle(exchange)
        yield LastPart(_error_event(error))
    finally:
        if not exchange.settled:
            stream.count()


async def _drain(blocks: AsyncIterator[bytes]) -> None:
    """Let the connection reach its end, and be used again; what goes wrong now concerns nobody."""
    with contextlib.suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(LAST_BYTE):
            await anext(blocks, b"")


def _code(error: UpstreamError) -> str:
    return UpstreamTimeout.code if error.failure is Failure.TIMEOUT else INTERRUPTED


def _error_event(error: UpstreamError) -> bytes:
    body = {"message": f"The provider broke off: {error.message}.", "type": "server_error", "code": _code(error)}
    return b"data: " + orjson.dumps({"error": body | {"param": None}}) + b"\n\n"
