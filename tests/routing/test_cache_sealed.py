"""Answers in Redis: nobody else reads them, and whatever does not open is nothing."""

from decimal import Decimal

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.usage import Usage
from routing.cache.answer import KeptAnswer, Unreadable
from routing.cache.sealed import opened, sealed
from tests.routing.test_cache_memory import answer

NAME = b"cache:w:p:00"
SECRET = b"the patient's name is Ada"
PLAIN = answer(SECRET)
STORED = sealed(NAME, PLAIN)


def test_it_opens_as_it_was_and_shows_nothing() -> None:
    usage = Usage(7, 2, 1, 3, reasoning=1, estimated=True, service_tier="flex", reported_cost=Decimal("0.000000000123"))
    full = answer(SECRET * 100, usage=usage, streamed=True, policy_id="p", cost=123)
    stored = sealed(NAME, full)
    assert opened(NAME, stored) == full
    assert SECRET not in stored
    assert b"llama" not in stored
    assert len(stored) < len(full.body) / 4
    assert sealed(NAME, full) != stored


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(STORED) - 1), st.integers(1, 255))
def test_one_changed_byte_makes_it_unreadable(at: int, change: int) -> None:
    with pytest.raises(Unreadable):
        opened(NAME, STORED[:at] + bytes([STORED[at] ^ change]) + STORED[at + 1 :])


@pytest.mark.parametrize("length", [0, 1, 12, 13, 20, len(STORED) // 2, len(STORED) - 1])
def test_what_is_cut_is_unreadable(length: int) -> None:
    with pytest.raises(Unreadable):
        opened(NAME, STORED[:length])


def test_it_opens_in_its_own_place_alone() -> None:
    with pytest.raises(Unreadable):
        opened(b"cache:v:p:00", STORED)


def test_it_does_not_open_after_a_rotation() -> None:
    with override_settings(ENCRYPTION_KEYS=("a new key of thirty-two or more characters!",)), pytest.raises(Unreadable):
        opened(NAME, STORED)


@pytest.mark.parametrize("stored", [b"", b"\0\0\0\2{}", b"\0\0\0\7garbage", b"\xff\xff\xff\xff{}", b"\0\0\0\2[]"])
def test_what_is_no_answer_is_none(stored: bytes) -> None:
    with pytest.raises(Unreadable):
        KeptAnswer.from_bytes(stored)
