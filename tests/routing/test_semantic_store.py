"""What the semantic cache keeps in Postgres: the nearest first, bounded, expired, purged, unreadable to others."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.access import Caller
from analytics.usage import Usage
from rag.embedding.vectors import pack
from routing.cache.answer import KeptAnswer
from routing.cache.semantic import store
from routing.cache.semantic.store import Place
from routing.models import SemanticAnswer, SemanticShelf

pytestmark = pytest.mark.django_db
SCOPE, OTHER_SCOPE = b"s" * 20, b"o" * 20
KEY = str(uuid4())
SECRET = "the-words-of-a-prompt"


def now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def place(caller: Caller, vector: Sequence[float], *, scope: bytes = SCOPE, space: str = "m@1:3") -> Place:
    length = sum(number * number for number in vector) ** 0.5
    return Place(str(caller.workspace.pk), "", scope, space, pack([number / length for number in vector]))


def answer(caller: Caller, **fields: Any) -> KeptAnswer:
    given: dict[str, Any] = {
        "workspace_id": str(caller.workspace.pk), "key_id": KEY, "requested_model": "auto", "policy_id": "",
        "policy": "", "provider_id": "p", "provider": "box", "model": "llama", "complexity": "simple", "score": 0.0,
        "task": "chat", "usage": Usage(), "cost": 0, "expires_at": time.time() + 60, "streamed": False,
        "calls_tool": False, "body": b"{}",
    }  # fmt: skip
    return KeptAnswer(**given | fields)


def put(caller: Caller, number: int, vector: Sequence[float], **fields: Any) -> bool:
    where = place(caller, vector, **{name: fields.pop(name) for name in ("scope", "space") if name in fields})
    key = number.to_bytes(20, "big")
    made = answer(caller, **{"body": b"%d" % number, **fields})
    return store.put(where, key, f"{SECRET} {number}", made, now())


def found(caller: Caller, vector: Sequence[float], least: float = 0.5, **where: Any) -> list[bytes]:
    return [each.answer.body for each in store.look(place(caller, vector, **where), least).neighbours]


def test_the_nearest_comes_first_and_what_is_too_far_not_at_all(owner: Caller) -> None:
    for number, vector in ((1, [1, 0, 0]), (2, [1, 0.3, 0]), (3, [0, 1, 0])):
        assert put(owner, number, vector)

    assert found(owner, [1, 0.25, 0]) == [b"2", b"1"]
    nearest = store.look(place(owner, [1, 0, 0]), 0.9).neighbours[0]
    assert (nearest.prompt, round(nearest.similarity, 3)) == (f"{SECRET} 1", 1.0)


def test_scopes_and_spaces_never_meet(owner: Caller) -> None:
    put(owner, 1, [1, 0, 0])
    put(owner, 2, [1, 0], space="other@1:2")

    assert found(owner, [1, 0, 0]) == [b"1"]
    assert found(owner, [1, 0, 0], scope=OTHER_SCOPE) == []
    assert found(owner, [1, 0], space="other@1:2") == [b"2"]


def test_nothing_of_it_can_be_read_in_the_database_or_moved_to_another_place(owner: Caller) -> None:
    put(owner, 1, [1, 0, 0])
    row = SemanticAnswer.objects.get()
    assert SECRET.encode() not in bytes(row.sealed)

    SemanticAnswer.objects.update(key=b"x" * 20)

    assert found(owner, [1, 0, 0]) == []
    assert not SemanticAnswer.objects.exists()


def test_an_expired_answer_is_not_given_and_swept_away(owner: Caller) -> None:
    put(owner, 1, [1, 0, 0], expires_at=time.time() - 1)
    put(owner, 2, [0, 1, 0])

    assert found(owner, [1, 0, 0]) == []
    assert store.sweep() == 1
    assert SemanticShelf.objects.get().entries == 1


def test_the_one_that_was_not_used_for_longest_makes_room(owner: Caller, settings: Settings) -> None:
    settings.SEMANTIC_CACHE_MAX_SIZE = 2
    put(owner, 1, [1, 0, 0])
    put(owner, 2, [0, 1, 0])
    old = datetime.now(UTC) - timedelta(hours=1)
    SemanticAnswer.objects.filter(key=(1).to_bytes(20, "big")).update(used_at=old)

    put(owner, 3, [0, 0, 1])

    assert (found(owner, [1, 0, 0]), found(owner, [0, 1, 0]), found(owner, [0, 0, 1])) == ([], [b"2"], [b"3"])
    shelf = SemanticShelf.objects.get()
    assert (shelf.entries, shelf.bytes) == (2, sum(SemanticAnswer.objects.values_list("size", flat=True)))


def test_bytes_are_bounded_too(owner: Caller, settings: Settings) -> None:
    put(owner, 1, [1, 0, 0])
    size = SemanticAnswer.objects.get().size
    settings.SEMANTIC_CACHE_MAX_BYTES = size * 20
    for number in range(2, 40):
        put(owner, number, [1, number, 0])

    assert SemanticShelf.objects.get().bytes <= settings.SEMANTIC_CACHE_MAX_BYTES
    assert SemanticAnswer.objects.filter(key=(39).to_bytes(20, "big")).exists()
    assert not put(owner, 99, [1, 0, 0], body=bytes(range(256)) * size)


def test_the_same_request_is_kept_once(owner: Caller) -> None:
    put(owner, 1, [1, 0, 0])
    put(owner, 1, [1, 0, 0], body=b"new")

    assert found(owner, [1, 0, 0]) == [b"new"]
    assert SemanticShelf.objects.get().entries == 1


@pytest.mark.parametrize(
    ("named", "gone"),
    [
        ({}, 2), ({"key_id": KEY}, 2), ({"key_id": str(uuid4())}, 0), ({"policy_id": ""}, 2), ({"policy_id": "x"}, 0),
        ({"model": "llama"}, 1), ({"model": "box/llama"}, 1), ({"model": "auto"}, 2), ({"model": "gpt"}, 1),
    ],
)  # fmt: skip
def test_a_purge_removes_what_it_names(owner: Caller, stranger: Caller, named: dict[str, str], gone: int) -> None:
    put(owner, 1, [1, 0, 0])
    put(owner, 2, [0, 1, 0], model="gpt")
    put(stranger, 3, [1, 0, 0])

    assert len(store.purge(str(owner.workspace.pk), **named)) == gone
    assert SemanticAnswer.objects.filter(workspace=owner.workspace).count() == 2 - gone
    assert SemanticAnswer.objects.filter(workspace=stranger.workspace).count() == 1


def test_what_was_asked_before_a_purge_is_not_kept(owner: Caller) -> None:
    asked_at = now()
    store.purge(str(owner.workspace.pk))

    assert not store.put(place(owner, [1, 0, 0]), b"k" * 20, "p", answer(owner), asked_at)
    assert store.put(place(owner, [1, 0, 0]), b"k" * 20, "p", answer(owner), now())
