"""The way of a request through the semantic cache: embed its prompt, look for near ones, let the gates decide.

It costs an embedding, so a look is at most `PATIENCE` seconds, and where the embedding worker is away it is a miss at
once. Nothing that goes wrong here is an error for anybody: it is counted, and the request is answered as without it.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import Error as DatabaseError

from analytics import metrics
from gateway_project.lib.errors import ApiError
from rag.embedding import catalog, client
from rag.embedding.errors import EmbeddingError, TooLong
from routing.cache.answer import KeptAnswer
from routing.cache.layer import Search
from routing.cache.semantic import checks, gates, prompts, store, thresholds
from routing.cache.semantic.gates.language import is_latin
from routing.cache.semantic.store import Neighbour, Place
from routing.exchange import Exchange

logger = logging.getLogger(__name__)

# Seconds that a look may take, and for which nobody is asked after one that got nowhere.
PATIENCE = 0.5
PAUSE = 5.0
THREADS = 4
# Looks and answers to keep that may wait for a thread.
MOST_WAITING = 64
# Bytes of an answer that is kept.
LARGEST = 512 * 1024


@dataclass(slots=True)
class Meaning:
    """What a search found out on its way: where the prompt lies, and since when it is looked for."""

    prompt: str
    place: Place
    asked_at: datetime


class Semantic:
    """See `routing.cache.layer.Layer`."""

    name = "semantic"
    state = "semantic"

    def __init__(self, embedder: client.Embedder) -> None:
        self._embedder = embedder
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="semantic")
        self._waiting = 0
        self._paused_until = 0.0

    def applies(self, exchange: Exchange, search: Search) -> bool:
        """Whether the policy asks for it, and this is a request that can be answered so."""
        if exchange.policy.cache_semantic is None or (search.strict and not _database_is_local()):
            return False
        return not prompts.searches_documents(exchange) and prompts.prompt_of(exchange) != ""

    async def look(self, exchange: Exchange, search: Search) -> KeptAnswer | None:
        """The answer to the nearest prompt that means the same."""
        if not self.applies(exchange, search) or search.view is None:
            return None
        if time.monotonic() < self._paused_until:
            return self._skipped("paused")
        if self._waiting >= MOST_WAITING:
            return self._skipped("busy")
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._look(exchange, search)
        except TimeoutError:
            self._pause()
            return self._skipped("timeout")
        except TooLong:
            return self._skipped("too_long")
        except EmbeddingError as error:
            self._pause()
            return self._skipped(error.kind)
        except (DatabaseError, ApiError) as error:
            logger.warning("the semantic cache could not be asked: %s", type(error).__name__)
            return self._skipped("database")

    def keep(self, exchange: Exchange, search: Search, answer: KeptAnswer) -> None:
        """Keep it beside its prompt's vector, in a thread; what comes while too many wait is not kept."""
        meaning = search.meaning
        if meaning is None or answer.calls_tool or len(answer.body) > LARGEST or self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        kept = self._threads.submit(_keep, meaning, search.key, answer)
        kept.add_done_callback(lambda _: self._done())

    async def _look(self, exchange: Exchange, search: Search) -> KeptAnswer | None:
        facts = exchange.policy.cache_semantic
        prompt = prompts.prompt_of(exchange)
        scope = prompts.scope(exchange, search.view) if search.view is not None else None
        if facts is None or scope is None:
            return None
        embedded = await self._embedder.embed([prompt], role="query", timeout=PATIENCE)
        if catalog.card(embedded.model).english and not is_latin(prompt):
            return self._skipped("script")
        space = f"{embedded.model}@{embedded.revision}:{embedded.dimension}"[-200:]
        place = Place(search.workspace_id, search.policy_id, scope, space, embedded.vectors[0])
        base = thresholds.base(facts, embedded.model)
        self._waiting += 1
        looked = asyncio.get_running_loop().run_in_executor(self._threads, _nearest, place, prompt, base)
        looked.add_done_callback(lambda _: self._done())
        found, asked_at = await looked
        search.meaning = Meaning(prompt, place, asked_at)
        if found is None:
            return None
        hit = checks.Hit(place, found.similarity, found.answer, facts, base)
        search.on_given = lambda given: checks.current.consider(given, hit)
        return found.answer

    async def drained(self) -> None:
        """Return when everything that was to be kept is."""
        while self._waiting:  # noqa: ASYNC110  (threads take it down, and nobody waits for it but tests)
            await asyncio.sleep(0.002)

    def _skipped(self, why: str) -> KeptAnswer | None:
        _count_skipped(why)
        return None

    def _pause(self) -> None:
        self._paused_until = time.monotonic() + PAUSE

    def _done(self) -> None:
        self._waiting -= 1


def _nearest(place: Place, prompt: str, base: float) -> tuple[Neighbour | None, datetime]:
    """The nearest neighbour that passes the threshold and all gates, and the moment of the look. In a thread."""
    nearby = store.look(place, base)
    threshold = max(base, nearby.moved_to or 0.0)
    for neighbour in nearby.neighbours:
        if neighbour.similarity < threshold:
            break
        refused = gates.refusal(neighbour.prompt, prompt, same_day=neighbour.made_at.date() == nearby.now.date())
        if not refused:
            store.touch(neighbour.id)
            return neighbour, nearby.now
        metrics.SEMANTIC_REFUSALS.labels(refused).inc()
    return None, nearby.now


def _keep(meaning: Meaning, key: bytes, answer: KeptAnswer) -> None:
    try:
        store.put(meaning.place, key, meaning.prompt, answer, meaning.asked_at)
    except DatabaseError as error:
        logger.warning("an answer could not be kept in the semantic cache: %s", type(error).__name__)


def _count_skipped(why: str) -> None:
    metrics.SEMANTIC_SKIPPED.labels(why).inc()


def _database_is_local() -> bool:
    """Whether what is strict may lie in the database: it is on this machine."""
    host = settings.DATABASES["default"].get("HOST") or ""
    return host.startswith("/") or host in ("", "localhost", "127.0.0.1", "::1")


def configured() -> Semantic:
    """The layer of this installation."""
    return Semantic(client.current)
