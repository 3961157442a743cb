"""Who waits for whom: everybody is told something, whatever becomes of the others."""

import asyncio
import random

import pytest

from routing.cache.answer import KeptAnswer
from routing.cache.broadcast import Broadcast
from routing.cache.collapse import Run, Runs
from tests.routing.test_cache_memory import answer

KEY = b"key"
ANSWER = answer()


async def waiting(runs: Runs, count: int) -> list["asyncio.Task[KeptAnswer | Broadcast | Run | None]"]:
    tasks = [asyncio.create_task(runs.turn(KEY, 5)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def leader(runs: Runs) -> Run:
    run = await runs.turn(KEY, 5)
    assert isinstance(run, Run)
    return run


async def test_all_who_wait_are_given_the_answer() -> None:
    runs = Runs()
    run = await leader(runs)
    tasks = await waiting(runs, 3)
    runs.end(run, ANSWER)
    assert await asyncio.gather(*tasks) == [ANSWER] * 3
    assert len(runs) == 0


async def test_an_answer_that_is_not_to_be_shared_sends_each_their_own_way() -> None:
    runs = Runs()
    run = await leader(runs)
    tasks = await waiting(runs, 3)
    runs.end(run)
    assert await asyncio.gather(*tasks) == [None] * 3


async def test_whoever_leaves_hands_on_and_the_others_go_on_waiting() -> None:
    runs = Runs()
    run = await leader(runs)
    tasks = await waiting(runs, 3)
    for task in tasks:
        runs.hand_on(run, failed=False)
        assert await task is run
    runs.hand_on(run, failed=False)
    assert len(runs) == 0


async def test_after_two_failures_nobody_waits() -> None:
    runs = Runs()
    run = await leader(runs)
    tasks = await waiting(runs, 4)
    runs.hand_on(run, failed=True)
    assert await tasks[0] is run
    runs.hand_on(run, failed=True)
    assert await asyncio.gather(*tasks[1:]) == [None] * 3
    assert len(runs) == 0


async def test_who_is_told_to_lead_and_leaves_in_the_same_moment_hands_on() -> None:
    runs = Runs()
    run = await leader(runs)
    first, second = await waiting(runs, 2)
    runs.hand_on(run, failed=False)
    first.cancel()
    assert await second is run
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_patience_ends() -> None:
    runs = Runs()
    run = await leader(runs)
    assert await runs.turn(KEY, 0.01) is None
    assert not run.waiting
    assert await runs.turn(KEY, -1) is None


@pytest.mark.parametrize("seed", range(20))
async def test_nobody_hangs_whatever_happens(seed: int) -> None:
    chance, runs, told = random.Random(seed), Runs(), []

    async def one() -> None:
        turn = await runs.turn(KEY, 5)
        if isinstance(turn, Run):
            try:
                await asyncio.sleep(chance.random() / 100)
            except asyncio.CancelledError:
                runs.hand_on(turn, failed=False)
                raise
            fate = chance.random()
            if fate < 0.3:
                runs.hand_on(turn, failed=True)
            else:
                runs.end(turn, ANSWER if fate < 0.8 else None)
        told.append(turn)

    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(one()))
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
        await asyncio.sleep(chance.random() / 500)
    async with asyncio.timeout(3):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(told) == sum(result is None for result in results)
    assert len(runs) == 0
