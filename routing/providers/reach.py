"""Asks the targets of a decision until one answers. Retry and fallback live here and nowhere else.

Each target is asked once, in the decision's order, before any is asked again: while one fails, its neighbour is the
likelier answer, and the client need not wait for it. Only where none is left that was not asked, the same is tried
again, exponentially later. All targets together have two tries more than there are of them, so one alone has three,
and a failing fleet is not asked many times over for each request.
"""

import asyncio
import dataclasses
import random
import time
from collections.abc import Coroutine
from typing import Any, NoReturn

from analytics.models import NOT_ASKED
from gateway_project.lib.errors import NoAvailableModel, UnsupportedByBackend, UpstreamRateLimited, UpstreamTimeout
from routing import health
from routing.budgets.hold import opened
from routing.budgets.sums import SpendingUnknown
from routing.decision import Decision
from routing.exchange import Attempt, Exchange
from routing.flight import Flight
from routing.providers import faults
from routing.providers.attempt import Answer, ask
from routing.providers.base import Failure, Reply, Target, Timeouts, UpstreamError
from routing.providers.faults import UpstreamRefused
from routing.providers.hedge import Rival, raced

# How often one target is asked at most; and how many calls a request has beyond one for each of its targets.
TRIES = 3
MORE_TRIES = 2
# Seconds before the second try, doubled for the third; the wait is drawn between half of it and all of it.
BACKOFF = 0.25
# A provider that asks for more patience than this many seconds is not waited for.
LONGEST_WAIT = 10.0
NEVER = float("inf")
# Seconds that a client is told to wait at most where nobody could answer: others may be well before.
LONGEST_TOLD = 60


async def reach(exchange: Exchange, decision: Decision) -> Reply:
    """The first successful reply of `decision`'s targets, a stream with its first event already there.

    Fills `exchange.attempts` and `exchange.target`. Raises what the caller is to be told when every target failed.
    """
    tour = _Tour(exchange, decision)
    exchange.hold = opened(exchange)
    while (stop := tour.next_stop()) is not None:
        target, ready_at = stop
        if ready_at and not await tour.waited_for(ready_at):
            break
        flight = health.current.begin(target, stream=exchange.stream, last_resort=True)
        if flight is None:
            tour.pass_by(target)
            continue
        started = time.perf_counter()
        try:
            answer = await tour.asked(target, flight)
        except UpstreamError as error:
            if faults.is_clients(error, named=decision.named):
                raise UpstreamRefused(error) from None
            continue
        finally:
            exchange.upstream_seconds += time.perf_counter() - started
        exchange.target, exchange.flight = answer.attempt.target, answer.flight
        exchange.answer, exchange.first_block = answer.whole, answer.first_block
        return answer.reply
    _give_up(exchange, tour)


class _Tour:
    """Which targets of a decision were asked how often, and which one is next."""

    def __init__(self, exchange: Exchange, decision: Decision) -> None:
        self.exchange = exchange
        self.decision = decision
        self.timeouts = exchange.policy.timeouts
        self.deadline = time.monotonic() + self.timeouts.total
        self.last: UpstreamError | None = None
        # When those may be asked again that were asked, or passed by, by `Target.key`.
        self.ready_at: dict[tuple[str, str], float] = {}
        # Why those were passed by that were not asked at all.
        self.passed_by: dict[str, str] = {}
        # Those that may cost more than a budget has left, each with why.
        self.too_dear: dict[str, str] = {}

    def next_stop(self) -> tuple[Target, float] | None:
        """Whom to ask, and when: the first in order that was not asked, then whoever is ready first.

        Those whose breaker is open, or whose one probe is somebody else's, come after all others: a dead target is
        left at once when another one is there, and still asked when there is none.
        """
        targets, fallbacks, now = self.decision.targets, self.decision.fallbacks, health.current.clock()
        if len(self.exchange.attempts) >= len(targets) + MORE_TRIES or now > self.deadline:
            return None
        best: tuple[Target, float] | None = None
        best_rank = (True, NEVER)
        for target in targets:
            ready_at = self.ready_at.get(target.key, 0.0)
            if ready_at == NEVER or (target.key in fallbacks and self._is_barred):
                continue
            available = health.current.available(target.key, now)
            if available and not ready_at:
                return target, 0.0
            rank = (not available, ready_at)
            if best is None or rank < best_rank:
                best, best_rank = (target, ready_at), rank
        return best

    async def waited_for(self, ready_at: float) -> bool:
        """Wait until then. False when that would be too late."""
        wait = ready_at - time.monotonic()
        if ready_at > self.deadline:
            return False
        if wait > 0.0:
            self.exchange.upstream_seconds += wait
            await asyncio.sleep(wait)
        return True

    def asked(self, target: Target, flight: Flight) -> Coroutine[Any, Any, Answer]:
        """One call of `target`, or two where the policy lets a late answer be raced. Raises `UpstreamError`."""
        timeouts = self._patience(target, flight)
        if self.exchange.policy.hedge and len(self.decision.targets) > 1:
            late_after = flight.state.p95(stream=self.exchange.stream)
            if late_after is not None:
                first = Rival(target, flight, self._call(target, flight, timeouts))
                return raced(self.exchange, first, late_after, self._rival, self._is_final)
        return self._call(target, flight, timeouts)

    @property
    def _is_barred(self) -> bool:
        """Whether the fallbacks are: they are for a model that fails, not for one that there is no budget for."""
        return bool(self.too_dear) and not self.exchange.attempts

    def _tries(self, target: Target) -> int:
        """How often it was asked."""
        return sum(attempt.target.key == target.key for attempt in self.exchange.attempts)

    async def _call(self, target: Target, flight: Flight, timeouts: Timeouts) -> Answer:
        hold = self.exchange.hold
        if hold is not None and not hold.covers_at_once(target):
            await self._cover(target, flight)
        try:
            return await ask(self.exchange, target, flight, timeouts, named=self.decision.named)
        except UpstreamError as error:
            self.last = error
            if hold is not None and error.failure in faults.UNBILLED:
                hold.uncover(target)
            self.ready_at[target.key] = time.monotonic() + _wait(error, self._tries(target))
            raise

    async def _cover(self, target: Target, flight: Flight) -> None:
        """Reserve what a call of `target` may cost. Raises `UpstreamError` when that does not fit in the budgets."""
        assert self.exchange.hold is not None  # noqa: S101  (whoever calls this has looked)
        why = "it was not decided whether its cost fits in the budgets"
        try:
            why = await self.exchange.hold.cover(target)
        except SpendingUnknown as error:
            if not self.exchange.attempts:
                raise
            why = error.message
        finally:
            if why:
                flight.given_up()
        if why:
            self.ready_at[target.key] = NEVER
            self.too_dear[target.id] = why
            self.exchange.passed_over.append(Attempt(target, time.time(), error=f"{NOT_ASKED}{why}"))
            raise UpstreamError(Failure.BUDGET, why)

    def _rival(self, late: Target) -> Rival | None:
        """Who else may answer while `late` does not: one of the decision's, well, and not asked yet."""
        now = health.current.clock()
        for target in self.decision.targets:
            if target.key == late.key or target.key in self.ready_at or self._tries(target):
                continue
            if not health.current.available(target.key, now):
                continue
            flight = health.current.begin(target, stream=self.exchange.stream)
            if flight is not None:
                return Rival(target, flight, self._call(target, flight, self._patience(target, flight)))
        return None

    def _is_final(self, error: UpstreamError) -> bool:
        return faults.is_clients(error, named=self.decision.named)

    def _patience(self, target: Target, flight: Flight) -> Timeouts:
        """A trial finds out whether a target is back; while another one could answer, not at the client's expense."""
        if not flight.is_trial or not any(
            self.ready_at.get(other.key) != NEVER and other.key != target.key for other in self.decision.targets
        ):
            return self.timeouts
        patience = flight.state.patience(stream=self.exchange.stream)
        return dataclasses.replace(
            self.timeouts,
            connect=min(self.timeouts.connect, patience),
            first_byte=min(self.timeouts.first_byte, patience),
        )

    def pass_by(self, target: Target) -> None:
        """`target` may not be asked, whatever comes."""
        state = health.current.state(target.key)
        self.ready_at[target.key] = NEVER
        self.passed_by[target.id] = state.reason if state is not None else ""


def _wait(error: UpstreamError, tries: int) -> float:
    """Seconds until the same target may be asked again."""
    if tries >= TRIES or not faults.is_passing(error):
        return NEVER
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_WAIT else NEVER
    longest = BACKOFF * 2 ** (tries - 1)
    return random.uniform(longest / 2, longest)  # noqa: S311  (jitter, no secret)


def _give_up(exchange: Exchange, tour: _Tour) -> NoReturn:
    attempts, last = exchange.attempts, tour.last
    if not attempts and tour.too_dear and exchange.hold is not None:
        raise exchange.hold.refusal(tour.too_dear)
    details = {"attempts": [attempt.summary() for attempt in exchange.turns]}
    if last is not None and last.failure is Failure.UNSUPPORTED and len(attempts) == 1:
        raise UnsupportedByBackend(last.message, details=details)
    if attempts and all(attempt.failure in (Failure.TIMEOUT, Failure.CONNECT_TIMEOUT) for attempt in attempts):
        raise UpstreamTimeout("Every provider that was asked took too long.", details=details)
    if attempts and all(attempt.status == 429 for attempt in attempts):
        wait = last.retry_after if last and last.retry_after is not None else 1
        raise UpstreamRateLimited(
            f"Every provider that was asked answered 429 (too many requests): {_providers(attempts)}. "
            "The limit is the provider's, not this gateway's.",
            details=details,
            headers={"retry-after": str(max(1, round(wait)))},
        )
    # Each target's last word; `details` has every attempt.
    said = tour.passed_by | {attempt.target.id: attempt.error for attempt in attempts}
    for name, why in tour.too_dear.items():
        said[name] = f"{said[name]}, and it was not asked again, as {why}" if name in said else why
    told = "; ".join(f"{name}: {error.rstrip('.')}" for name, error in said.items())
    headers: dict[str, str] = {}
    if last is not None and last.retry_after is not None:
        headers["retry-after"] = str(min(max(1, round(last.retry_after)), LONGEST_TOLD))
    raise NoAvailableModel(f"No provider could answer. {told}.", details=details, headers=headers)


def _providers(attempts: list[Attempt]) -> str:
    """Their names, each once, in the order in which they were asked."""
    return ", ".join(dict.fromkeys(f"'{attempt.target.provider}'" for attempt in attempts))
