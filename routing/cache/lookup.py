"""The way of a request through the cache, and of its answer into it."""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection

import orjson
from django.conf import settings

from analytics import metrics
from analytics.tallies import counted
from gateway_project.lib.errors import BudgetExceeded
from routing.cache import reshape, rules, shared
from routing.cache.answer import KeptAnswer
from routing.cache.broadcast import Broadcast
from routing.cache.collapse import Run, Runs
from routing.cache.keys import key_of
from routing.cache.layer import Layer, Search
from routing.cache.memory import Memory
from routing.cache.semantic import layer as semantic
from routing.embeddings import house
from routing.exchange import KEPT, Exchange, Label
from routing.providers import sse
from routing.providers.base import Target
from routing.snapshot import WorkspaceTargets

logger = logging.getLogger(__name__)

Matches = Callable[[KeptAnswer], bool]

MISS, HIT = "miss", "hit"
EXACT = "exact"
# Ends that say nothing of what another one is told: its client left, or its own budgets had no room.
NOBODY_ELSES = frozenset({499, BudgetExceeded.status})


class Cache:
    """One process's cache. `layers` are asked in their order, after the memory and who asks the same right now."""

    def __init__(self, memory: Memory, layers: tuple[Layer, ...], seconds: float) -> None:
        self.memory = memory
        self.layers = layers
        self.seconds = seconds
        # Whether this installation has a cache at all.
        self.is_on = memory.most_answers > 0 and memory.most_bytes > 0
        self.runs = Runs()
        # By what hits and misses are counted under, in the order in which they are looked for.
        names = dict.fromkeys((EXACT, *(layer.name for layer in layers)))
        self._counters = [
            (name, counted(metrics.CACHE_HITS.labels(name)), counted(metrics.CACHE_MISSES.labels(name)))
            for name in names
        ]
        # By workspace, when something in it was purged last (`time.monotonic`).
        self._purged: dict[str, float] = {}
        self._cleared = 0.0

    # --- Looking ---------------------------------------------------------------------------------

    async def look(self, exchange: Exchange, view: WorkspaceTargets) -> bytes | Broadcast | None:
        """What `exchange` is answered with: JSON, all events of a stream, or one to listen to. None: ask for it.

        Whoever asks ends with `settle`, whatever comes of it: others may be waiting. Raises `PermissionDenied` as
        `privacy_of` does.
        """
        if not self.is_on or not rules.uses_cache(exchange):
            return None
        named = key_of(exchange, view)
        if named is None or exchange.caller is None:
            return None
        key, strict = named
        answer = self.memory.get(key)
        if answer is not None:
            given = self._given(exchange, view, answer, strict=strict)
            if given is not None:
                return given
        exchange.cache_state = MISS
        search = exchange.search = Search(
            key, exchange.caller.workspace_id, exchange.policy.id, strict, time.monotonic(), view
        )
        if rules.may_wait(exchange):
            search.run = self.runs.lead(key)
            if search.run is None:
                turn = await self._turn(exchange, search)
                if isinstance(turn, Broadcast):
                    return self._tune_in(exchange, turn)
                if turn is not None:
                    given = self._given(exchange, view, turn, strict=strict)
                    if given is not None:
                        return given
        asked: list[str] = []
        for layer in self.layers:
            if not layer.applies(exchange, search):
                continue
            asked.append(layer.name)
            answer = await layer.look(exchange, search)
            if answer is None:
                continue
            given = self._given(exchange, view, answer, strict=strict, state=layer.state, layer=layer.name)
            if given is not None:
                exact = layer.state == HIT
                if exact:
                    # Another host's clock may be wrong.
                    self._hold(search, answer, min(answer.expires_at - time.time(), self.seconds))
                if search.run is not None:
                    self.runs.end(search.run, answer if exact else None)
                return given
        self._count("", asked)
        return None

    async def _turn(self, exchange: Exchange, search: Search) -> KeptAnswer | Broadcast | None:
        """What an identical request under way is answered; None where this one is to ask."""
        patience = exchange.policy.timeouts.total - (time.perf_counter() - exchange.started)
        waited = time.perf_counter()
        turn = await self.runs.turn(search.key, patience, streams=exchange.stream)
        exchange.upstream_seconds += time.perf_counter() - waited
        if isinstance(turn, Run):
            search.run = turn
            return None
        return turn

    def _tune_in(self, exchange: Exchange, broadcast: Broadcast) -> Broadcast:
        """`exchange` listens to what is made for another one."""
        made = broadcast.exchange
        exchange.cache_state, exchange.from_cache = HIT, True
        exchange.target, exchange.label = made.target, made.label
        self._count(EXACT)
        return broadcast

    def _given(
        self,
        exchange: Exchange,
        view: WorkspaceTargets,
        answer: KeptAnswer,
        *,
        strict: bool,
        state: str = HIT,
        layer: str = EXACT,
    ) -> bytes | None:
        """What `exchange` is answered with: `answer` as it was made the first time, but for what it costs.

        None when it may not have that, or it cannot be given in the form that it wants.
        """
        if answer.calls_tool and not rules.is_asked(exchange):
            return None
        target = _target_of(answer, view)
        if target is None or (strict and not target.local):
            return None
        try:
            body = _as_wanted(exchange, answer)
        except reshape.ODD as error:
            why = error if isinstance(error, reshape.NotUnderstood) else type(error).__name__
            logger.warning("an answer of '%s' could not be given in another form: %s", answer.model, why)
            return None
        exchange.cache_state, exchange.from_cache = state, True
        exchange.target = target
        exchange.label = Label(answer.complexity, answer.score, answer.task, answer.usage.prompt)
        exchange.usage = answer.usage
        exchange.saved = answer.cost
        self._count(layer)
        return body

    def _count(self, found_in: str, asked: Collection[str] = ()) -> None:
        """Count a request that was answered by the layer of that name, or by none of those `asked`, and memory ("")."""
        for name, hits, misses in self._counters:
            if name == found_in:
                hits.inc()
                return
            if found_in or name == EXACT or name in asked:
                misses.inc()

    # --- Asking for others -----------------------------------------------------------------------

    def led(self, exchange: Exchange, blocks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """`blocks`, the stream that is made for `exchange`, as its client is sent it; others may listen."""
        search = exchange.search
        if search is None or search.run is None:
            return blocks
        broadcast = search.broadcast = search.run.broadcast = Broadcast(search.run, exchange, blocks)
        broadcast.wanted()
        return broadcast.own()

    def goes_on(self, exchange: Exchange, on_end: Callable[[], None]) -> bool:
        """Whether the stream of `exchange`, whose client is gone, is read on for others; `on_end` is called then."""
        search = exchange.search
        return search is not None and search.broadcast is not None and search.broadcast.outlives(on_end)

    # --- Keeping ---------------------------------------------------------------------------------

    def settle(self, exchange: Exchange, cost: int) -> None:
        """Keep the answer of `exchange` if it is one to keep, and tell who waits for it. It cost `cost` picodollars.

        Synchronous, and raises nothing: what fails here costs a hit, never the ledger its record.
        """
        search = exchange.search
        if search is None:
            return
        if search.on_given is not None and exchange.from_cache and exchange.status == 200:
            search.on_given(exchange)
        if exchange.cache_state != MISS:
            return
        run, search.run = search.run, None
        search.cost = cost
        answer = None
        try:
            answer = self._made(exchange, search)
            if answer is not None and self._hold(search, answer, self.seconds):
                for layer in self.layers:
                    layer.keep(exchange, search, answer)
        except Exception:
            logger.exception("the answer to request %s could not be kept", exchange.id)
        finally:
            if run is not None and exchange.status != 200:
                self.runs.hand_on(run, failed=exchange.status not in NOBODY_ELSES)
            elif run is not None:
                self.runs.end(run, answer)

    def _made(self, exchange: Exchange, search: Search) -> KeptAnswer | None:
        """What was made for `exchange`, if it is an answer to keep."""
        target, label, caller, usage = exchange.target, exchange.label, exchange.caller, exchange.usage
        if exchange.status != 200 or target is None or label is None or caller is None or usage is None:
            return None
        body = exchange.whole
        if exchange.streamed:
            body = b"".join(exchange.streamed)
            if len(body) >= KEPT:  # there may have been more of it
                return None
            if not sse.ends(body):
                body += sse.DONE
        calls = rules.calls_tool(exchange, body)
        if not rules.is_kept(exchange, body, calls=calls):
            return None
        policy = exchange.policy
        # In the order of its fields.
        return KeptAnswer(
            search.workspace_id,
            caller.id,
            exchange.model,
            policy.id,
            policy.name,
            target.provider_id,
            target.provider,
            target.model,
            label.complexity,
            label.score,
            label.task,
            usage,
            search.cost,
            time.time() + self.seconds,
            bool(exchange.streamed),
            calls,
            body,
            exchange.grounding.documents if exchange.grounding is not None else (),
        )

    def _hold(self, search: Search, answer: KeptAnswer, seconds: float) -> bool:
        """Keep `answer` in memory for so long. False where a purge came after its request."""
        self.memory.put(search.key, answer, seconds)
        # Only now, as a purge in another thread says so before it removes what is there.
        if search.began <= self._cleared or search.began <= self._purged.get(search.workspace_id, 0.0):
            self.memory.drop(search.key)
            return False
        return True

    # --- Forgetting ------------------------------------------------------------------------------

    def forget(self, workspace_id: str, matches: Matches) -> set[bytes]:
        """Remove the workspace's answers that match, and do not keep those of requests under way; the keys of what
        was removed. In any thread.
        """
        self._purged[workspace_id] = time.monotonic()
        return self.memory.remove(lambda answer: answer.workspace_id == workspace_id and matches(answer))

    def clear(self) -> None:
        """Remove everything that this process holds: what was purged elsewhere is not known. In any thread."""
        self._cleared = time.monotonic()
        self.memory.clear()


def _target_of(answer: KeptAnswer, view: WorkspaceTargets) -> Target | None:
    """The target that made `answer`, as the workspace has it now."""
    if answer.provider_id == house.PROVIDER_ID:
        return house.known(answer.model)
    provider = view.providers.get(answer.provider)
    if provider is None or provider.id != answer.provider_id:
        return None
    for target in view.by_model.get(answer.model, ()):
        if target.provider_id == answer.provider_id:
            return target
    return view.unlisted(provider, answer.model)


def _as_wanted(exchange: Exchange, answer: KeptAnswer) -> bytes:
    """The bytes that `exchange` is answered with. Raises any of `reshape.ODD`."""
    if exchange.stream:
        if answer.streamed:
            return reshape.as_asked(answer.body, usage_wanted=exchange.usage_wanted)
        return reshape.as_stream(orjson.loads(answer.body), usage_wanted=exchange.usage_wanted)
    if answer.streamed:
        exchange.answer = reshape.as_whole(answer.body, path=exchange.endpoint.path)
        return orjson.dumps(exchange.answer)
    if exchange.endpoint.dialect is not None:
        exchange.answer = orjson.loads(answer.body)
    return answer.body


def _configured() -> Cache:
    redis = shared.configured()
    layers: tuple[Layer, ...] = () if redis is None else (redis,)
    memory = Memory(settings.CACHE_MAX_SIZE, settings.CACHE_MAX_BYTES)
    if settings.SEMANTIC_CACHE_MAX_SIZE > 0 and settings.SEMANTIC_CACHE_MAX_BYTES > 0:
        layers += (semantic.configured(),)
    return Cache(memory, layers, settings.CACHE_TTL)


current = _configured()
