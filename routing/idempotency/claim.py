"""The claim of a running request on its idempotency key: taken, renewed, and settled with an answer or without."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, TypeVar

import psycopg

from gateway_project.lib.errors import ApiError, ServiceUnavailable
from gateway_project.lib.wire import LastPart, WireResponse
from routing.exchange import Exchange
from routing.idempotency import naming, store
from routing.idempotency.packing import Packer, packed
from routing.idempotency.store import Asked, Found, Kept, OtherRequest, Running

logger = logging.getLogger(__name__)

T = TypeVar("T")

RENEW_EVERY = store.LEASE.total_seconds() / 3
# Seconds between tries while the database is away, and for how long an answer is tried to be kept.
RETRY_EVERY = 1.0
KEEP_TRYING = 300
# Seconds that a request waits for the database: for its claim, and with a finished answer in its hands.
PATIENCE = 4.0
SETTLE_PATIENCE = 2.0

# Of a refusal: what a retry may turn into a success, so that it must not be replayed. 5xx are such, too.
PASSING = frozenset({401, 402, 403, 408, 409, 425, 429, 499})
# The headers of an answer that say what it is; the others say what was done this time.
REPLAYED = frozenset(
    {
        b"content-type", b"cache-control", b"x-accel-buffering",
        b"x-gateway-provider", b"x-gateway-model", b"x-gateway-complexity", b"x-gateway-privacy",
    }
)  # fmt: skip

# The request path has no database connection: so many of their own for whoever sends the header.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="idempotency")
# How many claims may wait at a time, and how many of one workspace, which must not be in the way of all others.
MOST_WAITING, MOST_OF_ONE = 1024, 256
# By workspace.
_waiting: Counter[str] = Counter()
# asyncio itself holds its tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()


class KeyInUse(ApiError):
    status, code, type = 409, "idempotency_key_in_use", "invalid_request_error"


class KeyReused(ApiError):
    status, code, type = 409, "idempotency_key_reused", "invalid_request_error"


async def first_answer(exchange: Exchange, raw: bytes, headers: Mapping[bytes, bytes]) -> Kept | None:
    """The answer that the request's idempotency key already has; None: `exchange` has now claimed the key.

    `raw` is the body. Raises `InvalidRequest` for a key that is none, `KeyInUse` (with `retry-after`) while its first
    request runs, `KeyReused` when that asked for something else, and `ServiceUnavailable` when nobody can tell.
    """
    caller = exchange.caller
    assert caller is not None  # noqa: S101  (who calls is found out first)
    name = naming.name_in(headers)
    asked = Asked(
        exchange.id, caller.workspace_id, caller.id, name, naming.fingerprint(exchange.endpoint, raw, headers)
    )
    match found := await _claimed(asked):
        case None:
            exchange.claim = Claim(exchange, caller.workspace_id)
        case Kept(body=None):
            raise KeyReused(
                f"The first answer to this Idempotency-Key (request {found.request_id}) is not there to be replayed: "
                "it, or all that is kept of the workspace, was too large; or it quotes a document that was deleted, or "
                "can no longer be read. Use another key to ask again.",
                headers=NO_RETRY,
            )
        case Running():
            raise KeyInUse(
                "The first request with this Idempotency-Key is still running; ask again for its answer.",
                param="idempotency-key",
                headers={"retry-after": str(min(max(round(found.seconds), 1), 10))},
            )
        case OtherRequest():
            raise KeyReused(
                f"This Idempotency-Key was used with another request ({found.request_id}) within the last 24 hours; "
                "a new request needs a new key.",
                param="idempotency-key",
                headers=NO_RETRY,
            )
    return found


# OpenAI's SDKs would send it again.
NO_RETRY = {"x-should-retry": "false"}
AWAY = (
    "Whether this Idempotency-Key was used before cannot be found out right now, and nothing was sent to a provider. "
    "Send the request again soon, or without the header."
)


async def _claimed(asked: Asked) -> Found | None:
    if _waiting[asked.workspace_id] >= MOST_OF_ONE or _waiting.total() >= MOST_WAITING:
        raise ServiceUnavailable(AWAY, headers={"retry-after": "1"})
    _waiting[asked.workspace_id] += 1
    claiming = _in_thread(store.claim, asked)
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(claiming)
    except BaseException as error:
        if not claiming.done():  # nobody will be there to use it
            claiming.add_done_callback(lambda done: _give_back(done, asked.id))
        if isinstance(error, psycopg.Error | TimeoutError):
            logger.warning("an idempotency key could not be looked up: %s", type(error).__name__)
            raise ServiceUnavailable(AWAY, headers={"retry-after": "2"}) from error
        raise
    finally:
        _waiting[asked.workspace_id] -= 1
        if not _waiting[asked.workspace_id]:
            del _waiting[asked.workspace_id]


def _in_thread(work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)


def _give_back(claiming: asyncio.Future[Found | None], request_id: str) -> None:
    if not claiming.cancelled() and claiming.exception() is None and claiming.result() is None:
        _begin(_released(request_id))


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def _released(request_id: str) -> None:
    """Free the key; where the database is away, its lease's end does that."""
    try:
        await _in_thread(store.release, request_id)
    except psycopg.Error as error:
        logger.warning("an idempotency key stays claimed until its lease ends: %s", type(error).__name__)


async def _kept(kept: Kept, body: bytes | None, workspace_id: str, documents: Sequence[str]) -> None:
    """Keep the answer, whose body is packed; while the database is away, as soon as it is back."""
    for _ in range(round(KEEP_TRYING / RETRY_EVERY)):
        try:
            return await _in_thread(store.keep, kept, body, workspace_id, documents)
        except psycopg.OperationalError as error:
            logger.warning("an answer waits to be kept for its Idempotency-Key: %s", type(error).__name__)
            await asyncio.sleep(RETRY_EVERY)
        except psycopg.Error:
            logger.exception("an answer cannot be kept for its Idempotency-Key")
            break
    logger.error("the answer to request %s was not kept for its Idempotency-Key", kept.request_id)


class Claim:
    """Held from the moment that nobody else may run the request until its answer is kept, or the key is free again."""

    def __init__(self, exchange: Exchange, workspace_id: str) -> None:
        self._exchange = exchange
        self._workspace_id = workspace_id
        self._renewing = _begin(self._renewed())
        self._held = True

    async def _renewed(self) -> None:
        pause = RENEW_EVERY
        held = True
        while held:
            await asyncio.sleep(pause)
            try:
                held = await _in_thread(store.renew, self._exchange.id)
                pause = RENEW_EVERY
            except psycopg.Error as error:
                logger.warning("the claim of an idempotency key could not be renewed: %s", type(error).__name__)
                pause = RETRY_EVERY

    async def settle(self, response: WireResponse) -> WireResponse:
        """`response` as it is to be sent: the end of it is only sent once it is kept (if it is to be, and can be)."""
        body = response.wire_body
        if isinstance(body, bytes):
            await self._end(response, lambda: packed(body))
            return response
        response.wire_body = self._recorded(response, body)
        close = response.on_close

        def closed() -> None:
            if close is not None:
                close()
            self.release()

        response.on_close = closed
        return response

    async def _recorded(self, response: WireResponse, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        packer = Packer()
        async with aclosing(blocks):  # type: ignore[type-var]
            async for block in blocks:
                packer.add(block)
                if type(block) is LastPart:
                    await self._end(response, packer.finish)
                yield block
            await self._end(response, packer.finish)

    async def _end(self, response: WireResponse, pack: Callable[[], bytes | None]) -> None:
        """Keep the answer or free the key; return when that is done, or has taken too long."""
        if not self._held:
            return
        self._held = False
        work = _begin(self._settled(response, pack) if is_kept(self._exchange) else self._freed())
        try:
            async with asyncio.timeout(SETTLE_PATIENCE):
                await asyncio.shield(work)
        except TimeoutError:
            logger.warning("an answer is sent before it is kept for its Idempotency-Key")

    async def _settled(self, response: WireResponse, pack: Callable[[], bytes | None]) -> None:
        exchange = self._exchange
        headers = tuple(
            (name.decode(), value.decode("latin-1")) for name, value in response.wire_headers if name in REPLAYED
        )
        try:
            body = await _in_thread(pack)
            documents = exchange.grounding.documents if exchange.grounding is not None else ()
            kept = Kept(exchange.id, exchange.status, exchange.error_code, headers)
            await _kept(kept, body, self._workspace_id, documents)
        finally:
            self._renewing.cancel()

    async def _freed(self) -> None:
        self._renewing.cancel()
        await _released(self._exchange.id)

    def release(self) -> None:
        """There is no whole answer, and will be none: free the key. Does nothing once the claim is settled."""
        if self._held:
            self._held = False
            _begin(self._freed())


def is_kept(exchange: Exchange) -> bool:
    """Whether the answer to `exchange` stands for every request with its key: see the package."""
    if exchange.status < 400:
        return exchange.status == 200
    return bool(exchange.attempts) and exchange.status < 500 and exchange.status not in PASSING
