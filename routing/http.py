"""Between HTTP and the pipeline: the contract's headers on every answer, and its error shape."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import orjson

from gateway_project.lib.errors import ApiError, InternalError
from gateway_project.lib.ids import uuid7_text
from gateway_project.lib.request_id import request_id
from gateway_project.lib.wire import WireRequest, WireResponse
from routing import limits, pipeline
from routing.endpoints import Endpoint
from routing.exchange import Exchange
from routing.idempotency import Kept
from routing.snapshot import Caller

logger = logging.getLogger(__name__)

JSON = (b"content-type", b"application/json")
EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

Headers = list[tuple[bytes, bytes]]
Run = Callable[[Exchange, WireRequest], Awaitable[pipeline.Answer | Kept]]

BY_NOBODY = ((b"x-gateway-provider", b""), (b"x-gateway-model", b""), (b"x-gateway-privacy", b""))
NOTHING_DONE = (
    *BY_NOBODY,
    (b"x-gateway-complexity", b""),
    (b"x-gateway-cache", b"off"),
    (b"x-gateway-attempts", b"0"),
    (b"x-gateway-overhead-ms", b"0"),
)


async def serve(request: WireRequest, endpoint: Endpoint, run: Run = pipeline.run) -> WireResponse:
    """The answer to a call of `endpoint`, whatever comes of it. `run` does what the pipeline does for it."""
    exchange = Exchange(endpoint)
    request_id.set(exchange.id)  # for the logs; each request runs in a context of its own
    given = request.wire_headers.get(b"x-request-id")
    if given:
        exchange.client_request_id = given.decode("latin-1")[:200].replace("\0", "")
    try:
        response = await _response(exchange, request, run)
        return response if exchange.claim is None else await exchange.claim.settle(response)
    except BaseException:
        if exchange.claim is not None:
            exchange.claim.release()
        raise


async def _response(exchange: Exchange, request: WireRequest, run: Run) -> WireResponse:
    """What is to be sent: the answer, or the error that says why there is none."""
    try:
        answer = await run(exchange, request)
    except ApiError as error:
        await _find_standing(exchange)
        dialect = exchange.endpoint.dialect
        return error_answer(error if dialect is None else dialect.refusal(exchange, error), exchange)
    except Exception:
        logger.exception("unhandled error on %s", exchange.endpoint.public_path)
        return error_answer(InternalError("The gateway failed on this request; the error was logged."), exchange)
    if isinstance(answer, Kept):
        await _find_standing(exchange)
        return _replay(exchange, answer)
    headers, dialect = describe(exchange), exchange.endpoint.dialect
    if answer.body is not None:
        body = answer.body if dialect is None else dialect.answer(exchange)
        headers += (JSON, (b"x-gateway-cost-usd", exchange.cost.encode()))
        return WireResponse(200, headers, body)
    assert answer.blocks is not None  # noqa: S101  (an answer is whole or a stream)
    headers += EVENT_STREAM
    blocks = answer.blocks if dialect is None else dialect.stream(exchange, answer.blocks)
    return WireResponse(200, headers, blocks, lambda: pipeline.close(exchange, answer))


async def _find_standing(exchange: Exchange) -> None:
    """Where the caller stands with its limits, for an answer that came before anything was counted."""
    if exchange.standing is None and exchange.caller is not None:
        exchange.standing = await limits.current.standing(exchange.caller)


async def with_standing(response: WireResponse, caller: Caller | None) -> WireResponse:
    """`response`, to a call that counts towards no limit, with where its caller stands with theirs."""
    standing = await limits.current.standing(caller) if caller is not None else None
    if standing is not None:
        response.wire_headers += standing.headers()
    return response


def _replay(exchange: Exchange, kept: Kept) -> WireResponse:
    """A first answer again, byte for byte: a stream's, too. What was done this time is nothing."""
    said = [(name.encode(), value.encode("latin-1")) for name, value in kept.headers]
    mentioned = {name for name, _ in said}
    headers = [*said, *(header for header in describe(exchange) if header[0] not in mentioned)]
    if EVENT_STREAM[0] not in said:
        headers.append((b"x-gateway-cost-usd", b"0"))
    headers += ((b"idempotent-replayed", b"true"), (b"original-request", kept.request_id.encode()))
    return WireResponse(kept.status, headers, kept.body or b"")


def describe(exchange: Exchange | None) -> Headers:
    """The headers that say what was done with a request; of an answer that took no exchange, that nothing was."""
    if exchange is None:
        return [(b"x-request-id", uuid7_text().encode()), *NOTHING_DONE]
    target, label = exchange.target, exchange.label
    own_ms = (time.perf_counter() - exchange.started - exchange.upstream_seconds) * 1000
    standing, grounding = exchange.standing, exchange.grounding
    return [
        (b"x-request-id", exchange.id.encode()),
        *(_answered_by(target.provider, target.model, target.local) if target else BY_NOBODY),
        (b"x-gateway-complexity", label.complexity.encode() if label else b""),
        (b"x-gateway-cache", exchange.cache_state.encode()),
        (b"x-gateway-attempts", b"%d" % len(exchange.attempts)),
        (b"x-gateway-overhead-ms", b"%.2f" % own_ms),
        *(standing.headers() if standing is not None else ()),
        *(grounding.headers() if grounding is not None else ()),
    ]


@functools.lru_cache(maxsize=1024)
def _answered_by(provider: str, model: str, local: bool) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-gateway-provider", _header(provider)),
        (b"x-gateway-model", _header(model)),
        (b"x-gateway-privacy", b"local" if local else b"cloud"),
    )


def _header(name: str) -> bytes:
    """A provider's or a model's name as a header can carry it: what is not printable ASCII is percent-encoded."""
    return quote(name, safe=PRINTABLE).encode()


def error_answer(error: ApiError, exchange: Exchange | None = None) -> WireResponse:
    """`error` in the contract's shape and with its headers, also where no exchange was begun."""
    headers = describe(exchange)
    headers += ((b"x-gateway-cost-usd", exchange.cost.encode() if exchange else b"0"), JSON)
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return WireResponse(error.status, headers, orjson.dumps(error.body()))
