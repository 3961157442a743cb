"""Checks: a share of the hits is answered afresh, in the background, to see whether what was given is the answer.

The fresh request is the client's own, asked by its key and within its budgets, under the same privacy; the ledger has
it as a request of its own, whose metadata name the one that it checks (`gateway_check_of`). The answers are compared by
the cosine of their embeddings and, where the policy names a judge, by that model.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import orjson
from django.db import Error as DatabaseError
from django.db import connection

from analytics import metrics
from rag.embedding import client
from rag.embedding.errors import EmbeddingError
from routing.cache import reshape
from routing.cache.answer import KeptAnswer
from routing.cache.semantic import judge, thresholds
from routing.cache.semantic.store import Place
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.models import SemanticCheck
from routing.policies import SemanticFacts

logger = logging.getLogger(__name__)

# Checks at the same time in one process; hits beyond that are not checked.
AT_ONCE = 4
# Seconds after a hit, so that its client has its answer first.
LATER = 0.2
# Cosines of two answers that say the same, and of two that do not; what is between is not counted without a judge.
ALIKE, APART = 0.80, 0.65
EMBED_SECONDS = 20.0
MARK = "gateway_check_of"

# Asks what `exchange` asked, or another body, afresh: the answer's JSON, and its request's id. None: nobody answered.
Ask = Callable[..., Awaitable[tuple[str, dict[str, object]] | None]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer that was given: where its prompt was looked for, and how alike the two prompts are."""

    place: Place
    similarity: float
    answer: KeptAnswer
    facts: SemanticFacts
    # Where the policy's threshold begins.
    base: float


class Checks:
    """One process's checks."""

    def __init__(self, embedder: client.Embedder, chance: Callable[[], float] = random.random) -> None:
        self._embedder = embedder
        self._chance = chance
        self._running: set[asyncio.Task[None]] = set()
        self.ask: Ask | None = None

    def consider(self, exchange: Exchange, hit: Hit) -> None:
        """`exchange` was given `hit`: check it, or not, by the policy's share."""
        if self.ask is None or self._chance() >= hit.facts.check_share or len(self._running) >= AT_ONCE:
            return
        task = asyncio.get_running_loop().create_task(self._check(exchange, hit))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _check(self, exchange: Exchange, hit: Hit) -> None:
        try:
            await asyncio.sleep(LATER)
            await self._compare(exchange, hit)
        except (EmbeddingError, DatabaseError, *reshape.ODD) as error:
            logger.warning("a semantic hit could not be checked: %s", type(error).__name__)
        except Exception:
            logger.exception("the semantic hit of request %s could not be checked", exchange.id)

    async def _compare(self, exchange: Exchange, hit: Hit) -> None:
        if self.ask is None:
            return
        given = _text(_whole(hit.answer))
        asked = await self.ask(exchange, marks={MARK: exchange.id})
        if asked is None:
            return
        fresh_id, answer = asked
        fresh = _text(answer)
        agreement = 1.0 if given == fresh else await self._cosine(given, fresh)
        verdict, judged = _by_cosine(agreement), False
        if hit.facts.judge and given != fresh:
            said = await self._judged(exchange, hit.facts.judge, given, fresh)
            if said is not None:
                verdict, judged = thresholds.RIGHT if said else thresholds.WRONG, True
        metrics.SEMANTIC_CHECKS.labels(verdict).inc()
        check = SemanticCheck(
            id=UUID(fresh_id), request_id=UUID(exchange.id), workspace_id=hit.place.workspace_id,
            policy_id=hit.place.policy_id, space=hit.place.space, similarity=hit.similarity, agreement=agreement,
            judged=judged, verdict=verdict,
        )  # fmt: skip
        await asyncio.to_thread(_record, check, exchange.policy.name, hit)

    async def _cosine(self, given: str, fresh: str) -> float:
        if not given.strip() or not fresh.strip():
            return 0.0
        embedded = await self._embedder.embed([given, fresh], role="document", truncate=True, timeout=EMBED_SECONDS)
        one, other = (client.floats(vector) for vector in embedded.vectors)
        return sum(map(float.__mul__, one, other))

    async def _judged(self, exchange: Exchange, model: str, given: str, fresh: str) -> bool | None:
        if self.ask is None:
            return None
        question = str(_text({"choices": [{"message": exchange.body["messages"][-1]}]}))
        body = judge.request(model, question, given, fresh)
        asked = await self.ask(exchange, body=body, marks={MARK: exchange.id})
        return None if asked is None else judge.verdict(_text(asked[1]))


def _by_cosine(agreement: float) -> str:
    if agreement >= ALIKE:
        return thresholds.RIGHT
    return thresholds.WRONG if agreement < APART else thresholds.UNSURE


def _whole(answer: KeptAnswer) -> dict[str, object]:
    if answer.streamed:
        return reshape.as_whole(answer.body, path=CHAT.path)
    whole: dict[str, object] = orjson.loads(answer.body)
    return whole


def _text(answer: dict[str, object]) -> str:
    """What the first choice says."""
    content = answer["choices"][0]["message"].get("content")  # type: ignore[index]
    if type(content) is list:
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _record(check: SemanticCheck, policy: str, hit: Hit) -> None:
    try:
        check.save(force_insert=True)
        place = hit.place
        thresholds.move(place.workspace_id, place.policy_id, policy, place.space, hit.base, hit.facts.max_false_hits)
    finally:
        connection.close()


current = Checks(client.current)
