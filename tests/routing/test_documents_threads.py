"""Threads that all workspaces share: one that fills them with work that does not end is in nobody else's way."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from routing.documents.threads import FairShare

GREEDY, MODEST = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def test_a_workspace_has_its_share_and_no_more(threads: ThreadPoolExecutor) -> None:
    ended = threading.Event()

    async def asked() -> list[bool]:
        share = FairShare(threads, of_one=2)
        waiting = [asyncio.create_task(share.run(GREEDY, ended.wait, 30)) for _ in range(5)]
        assert await asyncio.wait_for(share.run(MODEST, lambda: "done"), 10) == "done"
        ended.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(asked()) == [True] * 5


def test_who_leaves_still_has_the_thread_that_works_for_them(threads: ThreadPoolExecutor) -> None:
    ended = threading.Event()

    async def asked() -> None:
        share = FairShare(threads, of_one=2)
        for _ in range(5):
            left = asyncio.create_task(share.run(GREEDY, ended.wait, 30))
            await asyncio.sleep(0.05)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
        assert await asyncio.wait_for(share.run(MODEST, lambda: "done"), 10) == "done"
        ended.set()
        assert await asyncio.wait_for(share.run(GREEDY, lambda: "again"), 10) == "again"

    asyncio.run(asked())


def test_work_that_fails_gives_its_place_back(threads: ThreadPoolExecutor) -> None:
    async def asked() -> None:
        share = FairShare(threads, of_one=1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await share.run(GREEDY, lambda: 1 / 0)

    asyncio.run(asked())
