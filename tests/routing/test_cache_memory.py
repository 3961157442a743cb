"""The memory of the cache: bounded in answers, bytes and time."""

from typing import Any

import pytest

from analytics.usage import Usage
from routing.cache.answer import OVERHEAD, KeptAnswer
from routing.cache.memory import LARGEST_SHARE, Memory


def answer(body: bytes = b"{}", **facts: Any) -> KeptAnswer:
    defaults: dict[str, Any] = {
        "workspace_id": "w", "key_id": "k", "requested_model": "auto", "policy_id": "", "policy": "Balanced",
        "provider_id": "p", "provider": "house", "model": "llama", "complexity": "simple", "score": 0.1,
        "task": "chat", "usage": Usage(7, 0, 0, 3), "cost": 5, "expires_at": 2e9, "streamed": False,
        "calls_tool": False,
    }  # fmt: skip
    return KeptAnswer(**defaults | facts, body=body)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_answer_that_was_not_asked_for_for_longest_makes_room(clock: Clock) -> None:
    memory = Memory(2, 10**6, clock)
    for key in (b"a", b"b"):
        assert memory.put(key, answer(), 10)
    assert memory.get(b"a") is not None
    memory.put(b"c", answer(), 10)
    assert [memory.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    assert len(memory) == 2


def test_bytes_are_bounded_and_counted(clock: Clock) -> None:
    each = OVERHEAD + 1000
    memory = Memory(1000, LARGEST_SHARE * each, clock)
    for number in range(100):
        assert memory.put(b"%d" % number, answer(b"x" * 1000), 10)
    assert len(memory) == LARGEST_SHARE
    assert memory.bytes == LARGEST_SHARE * each
    assert memory.get(b"99") is not None
    assert not memory.put(b"large", answer(b"x" * 1001), 10)
    assert len(memory) == LARGEST_SHARE


def test_an_answer_is_given_for_its_time(clock: Clock) -> None:
    memory = Memory(10, 10**6, clock)
    memory.put(b"a", answer(), 5)
    clock.now += 4.9
    assert memory.get(b"a") is not None
    clock.now += 0.1
    assert memory.get(b"a") is None
    assert (len(memory), memory.bytes) == (0, 0)
    assert not memory.put(b"a", answer(), 0)


def test_the_same_key_is_held_once(clock: Clock) -> None:
    memory = Memory(10, 10**6, clock)
    memory.put(b"a", answer(b"first"), 5)
    memory.put(b"a", answer(b"second"), 5)
    held = memory.get(b"a")
    assert held is not None
    assert held.body == b"second"
    assert (len(memory), memory.bytes) == (1, held.size)


def test_what_matches_is_removed(clock: Clock) -> None:
    memory = Memory(10, 10**6, clock)
    for number, model in enumerate(("llama", "gpt", "llama")):
        memory.put(b"%d" % number, answer(model=model), 5)
    assert memory.remove(lambda each: each.model == "llama") == {b"0", b"2"}
    assert list(memory.answers()) == [b"1"]
    memory.clear()
    assert (len(memory), memory.bytes) == (0, 0)


def test_nothing_is_held_where_there_is_no_cache(clock: Clock) -> None:
    assert not Memory(0, 10**6, clock).put(b"a", answer(), 5)
    assert not Memory(10, 0, clock).put(b"a", answer(), 5)
