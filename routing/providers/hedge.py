"""A late answer is raced by a second target, where the policy allows it. Both calls are paid for, and both entered.

Late is later than 19 of 20 first bytes of that target were; so about one request in twenty costs a second prompt, and
one in ten at most (`routing.target_state`) when a target has become slow altogether.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from analytics.usage import usage_from
from routing.exchange import Attempt, Exchange
from routing.flight import Flight
from routing.providers.attempt import Answer, bill
from routing.providers.base import Target, UpstreamError

# Seconds before which no answer is late: below, the second call would cost more than the wait.
FLOOR = 0.05
LOST = "another target answered first"

# asyncio itself holds its tasks only weakly.
_ending: set[asyncio.Task[Answer]] = set()


@dataclass(slots=True)
class Rival:
    """A target with leave to be asked, and its call, which was not begun."""

    target: Target
    flight: Flight
    call: Coroutine[Any, Any, Answer]


async def raced(
    exchange: Exchange,
    first: Rival,
    late_after: float,
    second: Callable[[Target], Rival | None],
    is_final: Callable[[UpstreamError], bool],
) -> Answer:
    """The answer of `first`, or of whom `second` names once that is late: of whichever answers before the other.

    The loser is cancelled and billed. Raises `UpstreamError`, the last one when both failed, or one that `is_final`.
    """
    race = {asyncio.create_task(first.call): first}
    winner: asyncio.Task[Answer] | None = None
    client_left = False
    try:
        done, _ = await asyncio.wait(race, timeout=max(late_after, FLOOR))
        if not done and first.flight.state.may_hedge():
            rival = second(first.target)
            if rival is not None:
                race[asyncio.create_task(rival.call)] = rival
        winner = await _first_answer(race, is_final)
        return winner.result()
    except asyncio.CancelledError:
        client_left = True
        raise
    finally:
        _end(exchange, race, winner, client_left=client_left)


async def _first_answer(
    race: dict[asyncio.Task[Answer], Rival], is_final: Callable[[UpstreamError], bool]
) -> asyncio.Task[Answer]:
    """The first task that has an answer; of two at once, the one that was asked first."""
    pending = set(race)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in race:
            if task in done and task.exception() is None:
                return task
        for task in done:
            error = task.exception()
            if not pending or not isinstance(error, UpstreamError) or is_final(error):
                task.result()


def _end(
    exchange: Exchange,
    race: dict[asyncio.Task[Answer], Rival],
    winner: asyncio.Task[Answer] | None,
    *,
    client_left: bool,
) -> None:
    """Cancel whoever has not won, and bill it. Waits for nothing, so that no cancel can come between."""
    for task, rival in race.items():
        if task is winner or (task.done() and task.exception() is not None):
            continue
        attempt = _attempt_of(exchange, rival.target)
        if task.done():
            answer: Answer | None = task.result()
        else:
            answer = None
            _cancel(task)
        if client_left:
            rival.flight.given_up()
        else:
            rival.flight.lost()
        if attempt is None:
            continue
        attempt.cancelled = True
        attempt.error = "the client left" if client_left else LOST
        attempt.ms = round((time.time() - attempt.started) * 1000)
        if client_left and attempt is exchange.attempts[-1]:
            # Billed as the request itself, as it is without a race.
            exchange.target = rival.target
        else:
            bill(exchange, attempt, usage_from(answer.whole, rival.target.kind.id) if answer is not None else None)
        if answer is not None:
            answer.reply.close()


def _cancel(task: asyncio.Task[Answer]) -> None:
    """Have `task` end soon, and what it still brings be dropped."""
    _ending.add(task)
    task.add_done_callback(_ended)
    task.cancel()


def _ended(task: asyncio.Task[Answer]) -> None:
    _ending.discard(task)
    if not task.cancelled() and task.exception() is None:
        task.result().reply.close()


def _attempt_of(exchange: Exchange, target: Target) -> Attempt | None:
    """The latest attempt at `target`; None when its task had not made its first step."""
    return next((attempt for attempt in reversed(exchange.attempts) if attempt.target is target), None)
