"""The format of gateway keys."""

import math
import string

import pytest
from pytest_django import DjangoAssertNumQueries

from keys import tokens
from keys.models import InstallationSecret


def test_a_key_is_well_formed_and_long_enough() -> None:
    made = {tokens.generate() for _ in range(200)}
    assert len(made) == 200
    assert all(tokens.is_well_formed(key) and len(key) == tokens.LENGTH for key in made)
    assert tokens.RANDOM_LENGTH * math.log2(62) >= 160
    used = set("".join(key[3:] for key in made))
    assert used <= set(string.ascii_letters + string.digits)
    assert len(used) == 62


def test_every_single_changed_character_is_noticed() -> None:
    key = tokens.generate()
    for place in range(len(key)):
        for other in "aB7":
            changed = key[:place] + other + key[place + 1 :]
            assert changed == key or not tokens.is_well_formed(changed)


@pytest.mark.parametrize(
    "text",
    ["", "gw_", "sk-123", "gw_" + "a" * 35, "gw_" + "a" * 37, "gw_" + "é" * 36, "gw_" + "٣" * 36, "\x00" * 39],
)
def test_what_is_no_key(text: str) -> None:
    assert not tokens.is_well_formed(text)
    assert not tokens.is_well_formed(tokens.generate() + text[:1] + "\n")


def test_a_malformed_key_is_refused_without_the_database(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    # No database mark: any query fails this test, the first included.
    assert not tokens.is_well_formed("gw_" + "a" * 36)


@pytest.mark.django_db
def test_the_digest_needs_the_pepper_and_tells_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    key = tokens.generate()
    digest = tokens.digest(key)
    assert len(digest) == 32
    assert key.encode() not in digest
    assert digest == tokens.digest(key) != tokens.digest(tokens.generate())
    with django_assert_num_queries(0):
        tokens.digest(key)
    assert InstallationSecret.objects.count() <= 1
