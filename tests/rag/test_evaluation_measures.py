"""The measures, by examples that one can check by hand, and by what must hold of all."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluation.measures import Place, Score, finds, mean, ndcg, score, shares, united

TEXTS = ("a", "b")
places = st.builds(
    lambda document, start, length: Place(document, start, start + length),
    st.sampled_from(TEXTS),
    st.integers(0, 60),
    st.integers(1, 30),
)
references = st.lists(st.lists(places, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4)
results = st.lists(places, max_size=12)


def characters(these: list[Place]) -> set[tuple[str, int]]:
    return {(place.document, at) for place in these for at in range(place.start, place.end or 0)}


@given(references, results, st.integers(1, 10))
def test_all_shares_are_between_none_and_all(wanted: list[tuple[Place, ...]], found: list[Place], k: int) -> None:
    got = score(wanted, found, k)
    for name in ("ndcg", "recall", "precision", "hit", "found_share", "retrieved_share"):
        assert 0 <= getattr(got, name) <= 1, name
    assert got.false_hits == pytest.approx(min(k, len(found)) * (1 - got.precision) if found else 0)
    assert (got.hit == 0) == (got.recall == 0) == (got.ndcg == 0)


@given(st.lists(places, min_size=1, max_size=5), results)
def test_shares_are_those_of_sets_of_characters(wanted: list[Place], found: list[Place]) -> None:
    reference, retrieved = characters(wanted), characters(found)
    there = len(reference & retrieved)
    both = [there / len(reference), there / len(retrieved) if retrieved else 0]
    assert list(shares([(place,) for place in wanted], found)) == pytest.approx(both)


@given(references, results)
def test_what_is_found_twice_counts_once(wanted: list[tuple[Place, ...]], found: list[Place]) -> None:
    assert shares(wanted, found) == pytest.approx(shares(wanted, found + found))


@given(references, results, places)
def test_one_more_result_loses_no_reference(wanted: list[tuple[Place, ...]], found: list[Place], more: Place) -> None:
    before, after = score(wanted, found, 20), score(wanted, [*found, more], 20)
    assert after.recall >= before.recall
    assert after.ndcg >= before.ndcg
    # Of references that stand in one place each: where there are several, the one counts that was found best.
    alone = [reference[:1] for reference in wanted]
    assert (shares(alone, [*found, more])[0] or 0) >= (shares(alone, found)[0] or 0)


@given(st.lists(places, min_size=1, max_size=4), st.integers(4, 10))
def test_the_references_themselves_are_the_best_results(wanted: list[Place], k: int) -> None:
    got = score([(place,) for place in wanted], wanted, k)
    assert (got.recall, got.precision, got.hit, got.false_hits) == (1, 1, 1, 0)
    assert got.found_share == got.retrieved_share == 1


@given(st.lists(places, max_size=12))
def test_united_ranges_are_in_order_and_apart(these: list[Place]) -> None:
    ranges = united(these)
    for each in ranges.values():
        assert all(one[1] < following[0] for one, following in pairwise(each))
    assert characters([Place(d, *each) for d, found in ranges.items() for each in found]) == characters(these)


def test_ndcg_of_one_reference_is_its_ranks_discount() -> None:
    assert [ndcg([rank], 10) for rank in (1, 2, 10, 11, None)] == pytest.approx(
        [1, 1 / math.log2(3), 1 / math.log2(11), 0, 0]
    )


def test_ndcg_of_two_references() -> None:
    assert ndcg([1, 2], 10) == pytest.approx(1)
    assert ndcg([1, 3], 10) == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert ndcg([1, None], 10) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    # One result that has both is as good as it gets, and more references than places are no fault.
    assert ndcg([1, 1], 10) == 1
    assert ndcg([1, None], 1) == 1


def test_a_result_has_found_what_it_holds_half_of() -> None:
    passage = Place("a", 100, 200)
    assert finds(Place("a", 150, 400), passage)
    assert not finds(Place("a", 151, 400), passage)
    assert not finds(Place("b", 100, 200), passage)
    # A short result within a long passage is a part of the answer.
    assert finds(Place("a", 110, 130), passage)
    assert finds(Place("a", 0, 1), Place("a"))


def test_of_equal_passages_any_is_right() -> None:
    twice = (Place("a", 0, 10), Place("b", 50, 60))
    got = score([twice], [Place("b", 40, 60)], 5)
    assert (got.recall, got.found_share, got.retrieved_share) == (1, 1, 0.5)


def test_whole_documents_have_no_shares_of_characters() -> None:
    got = score([(Place("a"),)], [Place("b"), Place("a")], 5)
    assert got == Score(1 / math.log2(3), 1, 0.5, 1, 1, None, None)
    assert mean([got, got]) == got


def test_nothing_found() -> None:
    assert score([(Place("a", 0, 5),)], [], 5) == Score(0, 0, 0, 0, 0, 0, 0)


def test_a_mean_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="no scores"):
        mean([])
