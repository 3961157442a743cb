"""What is purged while its request is under way is not kept when its answer comes."""

from typing import Any

import pytest

from analytics.usage import Usage
from routing.cache.lookup import Cache
from routing.cache.memory import Memory
from routing.exchange import Exchange
from tests.routing.stage import decided, provider, request, view_of

VIEW = view_of(provider("house", models=("llama",)))
ANSWER: dict[str, Any] = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}


@pytest.fixture
def cache() -> Cache:
    return Cache(Memory(10, 10**6), (), 60)


async def asked(cache: Cache) -> Exchange:
    """A request that found nothing."""
    exchange = request("llama", temperature=0)
    assert await cache.look(exchange, VIEW) is None
    return exchange


def answered(cache: Cache, exchange: Exchange) -> None:
    exchange.target = decided(exchange, VIEW).targets[0]
    exchange.answer, exchange.whole, exchange.status, exchange.usage = ANSWER, b"{}", 200, Usage(7, 0, 0, 3)
    cache.settle(exchange, 5)


async def test_an_answer_is_kept_and_given(cache: Cache) -> None:
    answered(cache, await asked(cache))
    again = request("llama", temperature=0)
    assert await cache.look(again, VIEW) == b"{}"
    assert (again.cache_state, again.saved, again.usage) == ("hit", 5, Usage(7, 0, 0, 3))


async def test_what_was_purged_meanwhile_is_not_kept(cache: Cache) -> None:
    one = await asked(cache)
    cache.forget("w", lambda answer: False)
    answered(cache, one)
    assert len(cache.memory) == 0
    answered(cache, await asked(cache))
    assert len(cache.memory) == 1


async def test_a_purge_elsewhere_is_no_business_of_this_workspace(cache: Cache) -> None:
    one = await asked(cache)
    assert cache.forget("another", lambda answer: True) == set()
    answered(cache, one)
    assert len(cache.memory) == 1


async def test_who_forgot_everything_keeps_nothing_of_before(cache: Cache) -> None:
    one = await asked(cache)
    cache.clear()
    answered(cache, one)
    assert len(cache.memory) == 0


@pytest.mark.parametrize(("most", "size"), [(0, 10**6), (10, 0)])
async def test_an_installation_without_a_cache_looks_nowhere(most: int, size: int) -> None:
    exchange = request("llama", temperature=0)
    assert await Cache(Memory(most, size), (), 60).look(exchange, VIEW) is None
    assert (exchange.cache_state, exchange.search) == ("off", None)
