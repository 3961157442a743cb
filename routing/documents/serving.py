"""One call of a gateway key about documents: who it is, whether it may, the work in a thread, and the ledger's line."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db import OperationalError

from analytics import ledger
from gateway_project.lib.errors import ApiError, InternalError, ServiceUnavailable
from gateway_project.lib.request_id import request_id
from gateway_project.lib.wire import WireRequest, WireResponse
from rag.embedding.errors import EmbeddingError
from rag.services import Actor
from routing import limits, snapshot
from routing.documents.threads import FairShare, with_database
from routing.endpoints import Endpoint
from routing.exchange import Exchange
from routing.http import JSON, describe, error_answer, with_standing
from routing.identify import identified
from routing.limits import PermitWith
from routing.limits.estimate import reserved
from routing.settle import settle
from routing.snapshot import Caller

logger = logging.getLogger(__name__)

T = TypeVar("T")

READ, WRITE = "documents:read", "documents:write"

# The request path has no database connection; these are the only threads of it that have some. Uploads may take long,
# and what is fetched a minute: each is in nobody's way but its own kind's, and no workspace has all of them.
lookups = ThreadPoolExecutor(max_workers=3, thread_name_prefix="documents")
arrivals = ThreadPoolExecutor(max_workers=4, thread_name_prefix="uploads")
searches, uploads = FairShare(lookups, of_one=2), FairShare(arrivals, of_one=2)
fetches = FairShare(ThreadPoolExecutor(max_workers=8, thread_name_prefix="fetches"), of_one=2)
# Calls that may be on their way at a time, and of one workspace, which must not be in the way of all others.
MOST_WAITING, MOST_OF_ONE = 256, 64
# Bytes of a call that count towards limits of tokens.
MOST_COUNTED = 1_000_000

# By workspace.
_waiting: Counter[UUID] = Counter()


@dataclass(frozen=True)
class Made:
    """What is answered: a status, and what JSON says."""

    status: int
    body: Any


Answer = Callable[[Actor], Awaitable[Made]]


async def counted(request: WireRequest, path: str, scope: str, answer: Answer) -> WireResponse:
    """The answer to a call that counts towards its key's limits, and stands in the ledger."""
    exchange = Exchange(Endpoint(path, "", "", path))
    request_id.set(exchange.id)
    given = request.wire_headers.get(b"x-request-id")
    if given:
        exchange.client_request_id = given.decode("latin-1")[:200].replace("\0", "")
    # What it may write is no answer of a model; limits of tokens count what it sends.
    exchange.body = {"max_tokens": 1}
    try:
        ledger.require_room()
        exchange.caller = await identified(request.wire_headers, snapshot.current, scope=scope)
        declared = request.wire_headers.get(b"content-length", b"")
        exchange.length = min(int(declared), MOST_COUNTED) if declared.isdigit() else 0
        permit = await limits.current.admit(exchange)
        if permit is not None:
            # No model counts it: what was sent is what it used.
            exchange.permit = PermitWith(lambda _: permit.settle(reserved(exchange)))
        if not declared:
            _count_what_comes(request, exchange)
        actor = actor_of(exchange.caller)
        with _place(actor):
            made = await answer(actor)
    except asyncio.CancelledError:
        _settle(exchange, 499, "client_closed_request", "The client closed the connection before it was answered.")
        raise
    except Exception as raised:  # noqa: BLE001  (told by `as_api_error`, and logged there)
        error = as_api_error(raised)
        if exchange.standing is None and exchange.caller is not None:
            exchange.standing = await limits.current.standing(exchange.caller)
        _settle(exchange, error.status, error.code, error.message)
        return error_answer(error, exchange)
    _settle(exchange, made.status)
    headers = [*describe(exchange), (b"x-gateway-cost-usd", b"0"), JSON]
    body = b"" if made.body is None else orjson.dumps(made.body, default=str)
    return WireResponse(made.status, headers, body)


async def looked_up(request: WireRequest, scope: str, answer: Callable[[Actor], Any]) -> WireResponse:
    """The answer to a call that only asks how things stand: it counts towards no limit, as one for the models."""
    caller: Caller | None = None
    try:
        caller = await identified(request.wire_headers, snapshot.current, scope=scope)
        actor = actor_of(caller)
        with _place(actor):
            found = await searches.run(actor.workspace_id, answer, actor)
        headers = [*describe(None), (b"x-gateway-cost-usd", b"0"), JSON]
        response = WireResponse(200, headers, orjson.dumps(found, default=str))
    except Exception as raised:  # noqa: BLE001  (as above)
        response = error_answer(as_api_error(raised))
    return await with_standing(response, caller)


def _count_what_comes(request: WireRequest, exchange: Exchange) -> None:
    """Have the request's length be what came of it: nobody said before how much it would be."""
    receive = request.receive

    async def counted() -> Any:
        message = await receive()
        exchange.length = min(exchange.length + len(message.get("body", b"")), MOST_COUNTED)
        return message

    request.receive = counted


def _settle(exchange: Exchange, status: int, code: str = "", told: str = "") -> None:
    exchange.status, exchange.error_code, exchange.error = status, code, told
    settle(exchange)


def actor_of(caller: Caller) -> Actor:
    """A gateway key as who changes documents."""
    return Actor(UUID(caller.workspace_id), UUID(caller.user_id) if caller.user_id else None, UUID(caller.id))


async def in_thread(threads: Executor, work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns, which may use the database."""
    return await asyncio.get_running_loop().run_in_executor(threads, with_database, work, *arguments)


@contextmanager
def _place(actor: Actor) -> Iterator[None]:
    """Refuse in a crowd, instead of letting all wait."""
    workspace = actor.workspace_id
    if _waiting[workspace] >= MOST_OF_ONE or _waiting.total() >= MOST_WAITING:
        raise ServiceUnavailable("Too many calls about documents at once; try again.", headers={"retry-after": "1"})
    _waiting[workspace] += 1
    try:
        yield
    finally:
        _waiting[workspace] -= 1
        if not _waiting[workspace]:
            del _waiting[workspace]


def as_api_error(error: Exception) -> ApiError:
    """What the caller is told of what went wrong."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EmbeddingError):
        return ServiceUnavailable(str(error), headers={"retry-after": "5"})
    if isinstance(error, OperationalError):
        logger.warning("a call about documents failed: the database is away")
        return ServiceUnavailable("The database is away; try again.", headers={"retry-after": "5"})
    logger.error("unhandled error on a call about documents", exc_info=error)
    return InternalError("The gateway failed on this request; the error was logged.")
