"""The threshold of the semantic cache: where it begins, and how it moves by what checks find."""

from uuid import uuid4

import pytest

from accounts.access import Caller
from accounts.models import AuditEntry
from routing.cache.semantic import thresholds
from routing.cache.semantic.thresholds import base, moved, wilson
from routing.models import SemanticCheck, SemanticThreshold
from routing.policies import SemanticFacts

START, LIMIT = 0.88, 0.01


def checks(right: int, wrong: int, *, at: float = 0.95, wrong_at: float = 0.885) -> list[tuple[float, bool]]:
    return [(at, False)] * right + [(wrong_at, True)] * wrong


def test_a_policys_own_threshold_goes_before_the_models() -> None:
    assert base(SemanticFacts(threshold=0.7), "all-MiniLM-L6-v2") == 0.7
    assert base(SemanticFacts(), "sentence-transformers/all-MiniLM-L6-v2") == thresholds.BASES["all-minilm-l6-v2"]
    assert base(SemanticFacts(), "somebody/new") == thresholds.BASE


@pytest.mark.parametrize(
    ("wrong", "checked", "low", "high"), [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 500, 0.0043, 0.0232)]
)
def test_the_interval_is_wilsons(wrong: int, checked: int, low: float, high: float) -> None:
    assert list(wilson(wrong, checked)) == pytest.approx([low, high], abs=1e-4)


def test_nothing_known_moves_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert moved(START, START, LIMIT, [], 0) == START


def test_one_wrong_hit_may_be_chance_and_two_of_a_hundred_are_too_many() -> None:
    assert moved(START, START, LIMIT, checks(60, 1), 61) == START
    assert moved(START, START, LIMIT, checks(98, 2), 100) == pytest.approx(START + thresholds.UP)


def test_it_rises_only_as_far_as_it_must_and_two_steps_at_once_at_most() -> None:
    assert moved(START, START, LIMIT, checks(50, 5, wrong_at=0.885), 55) == pytest.approx(0.89)
    assert moved(START, START, LIMIT, checks(50, 5, wrong_at=0.895), 55) == pytest.approx(0.90)
    assert moved(START, START, LIMIT, checks(50, 5, wrong_at=0.97), 55) == pytest.approx(0.90)
    assert moved(0.985, START, LIMIT, checks(0, 5, wrong_at=0.999), 5) == thresholds.MOST


def test_it_comes_back_slowly_and_never_below_where_it_began() -> None:
    enough = checks(500, 0)
    assert moved(0.91, START, LIMIT, enough, thresholds.ENOUGH - 1) == 0.91
    assert moved(0.91, START, LIMIT, enough, thresholds.ENOUGH) == pytest.approx(0.905)
    assert moved(0.882, START, LIMIT, enough, thresholds.ENOUGH) == START
    assert moved(START, START, LIMIT, enough, 10_000) == START


@pytest.mark.django_db
def test_a_move_is_kept_and_in_the_trail(owner: Caller) -> None:
    workspace = str(owner.workspace.pk)
    for verdict in ("wrong", "wrong", "wrong", "right", "unsure"):
        SemanticCheck.objects.create(
            id=uuid4(), request_id=uuid4(), workspace=owner.workspace, policy_id="p", space="s",
            similarity=0.885, agreement=0.1, verdict=verdict,
        )  # fmt: skip

    thresholds.move(workspace, "p", "frugal", "s", START, LIMIT)

    row = SemanticThreshold.objects.get()
    assert (row.policy_id, row.space, round(row.value, 6)) == ("p", "s", 0.89)
    entry = AuditEntry.objects.get(action="cache.threshold_moved")
    assert entry.new is not None
    assert (entry.new["policy"], entry.new["false_hits"]) == ("frugal", "3 of 4")
    assert entry.workspace == owner.workspace

    thresholds.move(workspace, "p", "frugal", "s", START, LIMIT)  # below it there is nothing wrong any more
    assert AuditEntry.objects.filter(action="cache.threshold_moved").count() == 1


@pytest.mark.django_db
def test_nothing_is_entered_where_nothing_moves(owner: Caller) -> None:
    thresholds.move(str(owner.workspace.pk), "p", "frugal", "s", START, LIMIT)

    assert not SemanticThreshold.objects.exists()
    assert not AuditEntry.objects.filter(action="cache.threshold_moved").exists()
