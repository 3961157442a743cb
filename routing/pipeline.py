"""The way of every request, from its first byte to its entry in the ledger."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from analytics import ledger
from gateway_project.lib.errors import ApiError
from gateway_project.lib.wire import WireRequest
from routing import cache, health, idempotency, limits, loops, policy, snapshot, sticky
from routing.cache.replay import Replay
from routing.classify import classify
from routing.decision import Decision
from routing.exchange import Exchange
from routing.grounding import cited, ground
from routing.idempotency import Kept
from routing.identify import identified
from routing.meter import estimated, metered, read_usage
from routing.parse import MAX_BODY, read_body
from routing.providers.base import Reply
from routing.providers.reach import reach
from routing.settle import settle

CLIENT_LEFT = 499


@dataclass(slots=True)
class Answer:
    """A successful answer: whole, or as blocks of whole server-sent events."""

    body: bytes | None
    blocks: AsyncIterator[bytes] | None
    reply: Reply


async def run(exchange: Exchange, request: WireRequest) -> Answer | Kept:
    """Answer `request`. Whatever happens, `exchange` is settled: here, or by `close` when a stream has ended.

    An idempotency key that was answered before has that answer again; one that was not is `exchange.claim`'s.

    Raises `ApiError` in the contract's terms, or `asyncio.CancelledError` when the client left.
    """
    try:
        ledger.require_room()
        exchange.caller = await identified(request.wire_headers, snapshot.current, scope="inference")
        loops.check(request.wire_headers)
        raw = await request.read_body(MAX_BODY)
        read_body(exchange, raw, request.wire_headers)
        view = snapshot.current.workspace(exchange.caller.workspace_id)
        exchange.policy = policy.chosen(exchange, view)
        exchange.permit = await limits.current.admit(exchange)
        if idempotency.HEADER in request.wire_headers:
            kept = await idempotency.first_answer(exchange, raw, request.wire_headers)
            if kept is not None:
                return _replayed(exchange, kept)
        if ground.is_wanted(exchange):
            exchange.grounding = await ground.grounded(exchange, view)
        found = await cache.current.look(exchange, view)
        if found is not None:
            return _cited(exchange, _given(exchange, Replay(exchange, found)))
        exchange.label = classify(exchange.endpoint, exchange.body, exchange.wishes, kind=exchange.policy.classifier)
        exchange.decision = policy.decide(exchange, view, health.current, sticky.current)
        reply = await reach(exchange, exchange.decision)
    except ApiError as error:
        exchange.status, exchange.error_code, exchange.error = error.status, error.code, error.message
        settle(exchange)
        raise
    except asyncio.CancelledError:
        _gave_up(exchange)
        raise
    except BaseException:
        exchange.status, exchange.error_code = 500, "internal_error"
        settle(exchange)
        raise
    exchange.status = 200
    try:
        return _cited(exchange, _answered(exchange, exchange.decision, reply))
    except BaseException:
        exchange.status, exchange.error_code = 500, "internal_error"
        reply.close()
        settle(exchange)
        raise


def _answered(exchange: Exchange, decision: Decision, reply: Reply) -> Answer:
    """What `reply` is to the client."""
    if not decision.named or len(decision.targets) > 1:
        sticky.current.keep(exchange)
    if reply.blocks is not None:
        return Answer(None, cache.current.led(exchange, metered(exchange, reply, reply.blocks)), reply)
    read_usage(exchange)
    exchange.whole = reply.body or b""
    settle(exchange)
    return Answer(reply.body, None, reply)


def _given(exchange: Exchange, reply: Replay) -> Answer:
    """An answer that the cache had, as the reply of nobody; a stream is settled when it is sent."""
    exchange.status = 200
    if reply.blocks is None:
        settle(exchange)
    return Answer(reply.body, reply.blocks, reply)


def _cited(exchange: Exchange, answer: Answer) -> Answer:
    """`answer` with its citations, if it was made from documents. The cache and the ledger have it without."""
    shown = exchange.grounding.sources if exchange.grounding is not None else ()
    if shown and answer.body is not None:
        answer.body = cited.whole(answer.body, shown)
    elif shown and answer.blocks is not None:
        answer.blocks = cited.stream(answer.blocks, shown)
    return answer


def _replayed(exchange: Exchange, kept: Kept) -> Kept:
    """The answer that the request's idempotency key already has. It costs nothing, and is a request all the same."""
    exchange.replay_of, exchange.status, exchange.error_code = kept.request_id, kept.status, kept.error_code
    exchange.error = f"The answer to request {kept.request_id}, replayed." if kept.error_code else ""
    exchange.replayed_from = kept.answered_by
    settle(exchange)
    return kept


def close(exchange: Exchange, answer: Answer) -> None:
    """The answer was sent, or will not be: stop the upstream, unless others listen, and settle what was produced."""
    if not cache.current.goes_on(exchange, lambda: _end(exchange, answer)):
        _end(exchange, answer)


def _end(exchange: Exchange, answer: Answer) -> None:
    answer.reply.close()
    if not exchange.settled:
        _gave_up(exchange)


def _gave_up(exchange: Exchange) -> None:
    exchange.status, exchange.error_code = CLIENT_LEFT, "client_closed_request"
    exchange.error = "The client closed the connection before the answer was complete."
    if exchange.usage is None and exchange.attempts and exchange.attempts[-1].cancelled:
        # Sent, and not taken back: the provider will bill the prompt.
        exchange.usage = estimated(exchange, "")
    settle(exchange)
