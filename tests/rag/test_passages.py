"""Neighbours of one section that were both found are one result."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from rag.passages import LOOKED_AT, Place, passages

ONE, OTHER = UUID(int=1), UUID(int=2)


def place(ordinal: int, document: UUID = ONE, headings: tuple[str, ...] = ("Doors",)) -> Place:
    return Place(document.int * 1000 + ordinal, document, ordinal, headings)


def test_neighbours_become_one_passage_where_the_best_of_them_stood() -> None:
    found = [place(7), place(3), place(5), place(4)]
    assert passages(found, 5) == [[1007], [1003, 1004, 1005]]


def test_the_place_that_is_set_free_goes_to_the_next_one() -> None:
    found = [place(3), place(4), place(9)]
    assert passages(found, 2) == [[1003, 1004], [1009]]


def test_other_sections_and_other_documents_stay_apart() -> None:
    found = [place(3), place(4, headings=("Windows",)), place(4, OTHER)]
    assert passages(found, 5) == [[1003], [1004], [2004]]


def test_chunks_under_no_heading_stay_as_they_are() -> None:
    assert passages([place(3, headings=()), place(4, headings=())], 5) == [[1003], [1004]]


def test_what_was_hardly_found_joins_nothing() -> None:
    others = [place(ordinal * 2 + 100) for ordinal in range(LOOKED_AT - 1)]
    assert passages([place(3), *others, place(4)], 1) == [[1003]]


@given(
    st.lists(
        st.builds(
            place,
            st.integers(0, 12),
            st.sampled_from([ONE, OTHER]),
            st.sampled_from([(), ("Doors",), ("Doors", "Paint")]),
        ),
        max_size=40,
        unique_by=lambda each: (each.document_id, each.ordinal),
    ),
    st.integers(1, 10),
)
def test_nothing_is_given_twice_and_the_best_comes_first(found: list[Place], most: int) -> None:
    made = passages(found, most)
    ids = [chunk for passage in made for chunk in passage]
    assert len(ids) == len(set(ids))
    assert len(made) <= most
    if found:
        assert found[0].chunk_id in made[0]
    for passage in made:
        assert passage == list(range(passage[0], passage[0] + len(passage)))
