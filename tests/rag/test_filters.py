"""Metadata filters mean in SQL what a page of Python says they mean, and what is wrong in one is named."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Workspace
from rag import filters
from rag.filters import FilterError
from rag.models import Document, Library
from tests.rag.shelves import make_document, make_library

# --- what a filter means ------------------------------------------------------------------------------


def matches(condition: dict[str, Any], metadata: Any) -> bool:
    """The reference: over metadata alone, written for reading."""
    for name, value in condition.items():
        if name == "and" and not all(matches(each, metadata) for each in value):
            return False
        if name == "or" and not any(matches(each, metadata) for each in value):
            return False
        if name == "not" and matches(value, metadata):
            return False
        if name not in ("and", "or", "not"):
            operators = value if isinstance(value, dict) else {"eq": value}
            if not all(compares(operator, found(name, metadata), wanted) for operator, wanted in operators.items()):
                return False
    return True


def found(name: str, metadata: Any) -> list[Any]:
    """The values of a field: none, one, or a list's. Lists of objects are looked into."""
    values = [metadata]
    for key in name.removeprefix("metadata.").split("."):
        inside = [each for value in values for each in (value if isinstance(value, list) else [value])]
        values = [each[key] for each in inside if isinstance(each, dict) and key in each]
    return values


def compares(operator: str, values: list[Any], wanted: Any) -> bool:
    if operator == "exists":
        return bool(values) is wanted
    if operator in ("ne", "nin"):
        return not compares({"ne": "eq", "nin": "in"}[operator], values, wanted)
    return any(holds(operator, each, wanted) for each in flat(flat(values)))


def flat(values: list[Any]) -> list[Any]:
    return [each for value in values for each in (value if isinstance(value, list) else [value])]


def kind(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def holds(operator: str, value: Any, wanted: Any) -> bool:
    if operator == "in":
        return any(holds("eq", value, each) for each in wanted)
    if kind(value) != kind(wanted) or isinstance(value, dict):
        return False
    if kind(value) == "number":
        value, wanted = Fraction(str(value)), Fraction(str(wanted))
    match operator:
        case "eq":
            return bool(value == wanted)
        case "gt":
            return bool(value > wanted)
        case "gte":
            return bool(value >= wanted)
        case "lt":
            return bool(value < wanted)
    return bool(value <= wanted)


names = st.sampled_from(["a", "b", "c.d", "c", "metadata.title", 'q"uo\\te', "ünï", "x y", "$.a"])
texts = st.one_of(
    st.sampled_from(["", "x", "X", "xy", "é", "\U0001f600", "'", '"', "\\", "%s", "1", "true", "ￗ"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -0.0, 1e22, 1e-7, 2**53 + 1, 10**30, -1.5]),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
ordered = st.one_of(texts, numbers)

comparisons = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), scalars),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), ordered),
    st.tuples(st.sampled_from(["in", "nin"]), st.lists(scalars, max_size=3)),
    st.tuples(st.just("exists"), st.booleans()),
)
fields = st.dictionaries(names, st.one_of(scalars, st.lists(comparisons, min_size=1, max_size=2).map(dict)), max_size=2)
conditions = st.recursive(
    fields,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.tuples(inner, st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=2)})).map(
            lambda pair: {**pair[0], **pair[1]}
        ),
    ),
    max_leaves=8,
)
leaves = st.one_of(scalars, st.lists(st.one_of(scalars, st.lists(scalars, max_size=2)), max_size=3))
objects = st.dictionaries(st.sampled_from(["d", "e"]), leaves, max_size=2)
metadata_ = st.dictionaries(
    st.sampled_from(["a", "b", "c", "title", 'q"uo\\te', "ünï", "x y", "$.a"]),
    st.one_of(leaves, objects, st.lists(objects, max_size=2)),
    max_size=4,
)


@pytest.mark.django_db
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions, rows=st.lists(metadata_, min_size=1, max_size=6))
def test_sql_means_what_the_reference_means(condition: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    parsed = filters.parse(condition)
    text, values = ("TRUE", []) if parsed is None else filters.sql(parsed)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ({text}) IS TRUE FROM unnest(%s::text[]) WITH ORDINALITY m (given, n),"
            " LATERAL (SELECT given::jsonb AS metadata) d ORDER BY n",
            [*values, [json.dumps(row) for row in rows]],
        )
        kept = [row[0] for row in cursor.fetchall()]

    assert kept == [matches(condition, row) for row in rows]


# --- built-in fields ----------------------------------------------------------------------------------


def kept(library: Library, condition: dict[str, Any]) -> list[str]:
    """Titles of the documents, and contents where it is about pages."""
    parsed = filters.parse(condition)
    assert parsed is not None
    text, values = filters.sql(parsed)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT d.title FROM rag_document d LEFT JOIN rag_chunk c ON c.document_id = d.id"
            f" WHERE d.library_id = %s AND {text} ORDER BY 1",
            [library.pk, *values],
        )
        return [title for (title,) in cursor.fetchall()]


@pytest.fixture
def library(workspace: Workspace) -> Library:
    library = make_library(workspace)
    make_document(
        library, ["one"], title="Alpha", source="a.pdf", language="en", pages=[3], metadata={"title": "other"}
    )
    make_document(library, ["two"], title="Beta", source="", language="", created_at=datetime(2020, 5, 1, tzinfo=UTC))
    return library


@pytest.mark.parametrize(
    ("condition", "titles"),
    [
        ({"title": "Alpha"}, ["Alpha"]),
        ({"metadata.title": "other"}, ["Alpha"]),
        ({"title": {"gt": "Alpha"}}, ["Beta"]),
        ({"source": {"exists": False}}, ["Beta"]),
        ({"source": {"ne": "a.pdf"}}, ["Beta"]),
        ({"language": {"in": ["en", "de"]}}, ["Alpha"]),
        ({"language": {"nin": ["de"]}}, ["Alpha", "Beta"]),
        ({"created_at": {"lt": "2021-01-01"}}, ["Beta"]),
        ({"created_at": {"eq": "2020-05-01T02:00:00+02:00"}}, ["Beta"]),
        ({"created_at": {"gte": "2020-05-02"}}, ["Alpha"]),
        ({"page": 3}, ["Alpha"]),
        ({"page": {"ne": 3}}, ["Beta"]),
        ({"not": {"page": {"gt": 1}}}, ["Beta"]),
        ({"document_id": {"in": []}}, []),
        ({"or": []}, []),
    ],
)
def test_what_is_known_of_every_document_is_a_field(
    library: Library, condition: dict[str, Any], titles: list[str]
) -> None:
    assert kept(library, condition) == titles


def test_a_document_is_found_by_its_id(library: Library) -> None:
    one = Document.objects.get(title="Alpha")
    assert kept(library, {"document_id": str(one.pk)}) == ["Alpha"]
    assert kept(library, {"document_id": {"nin": [str(one.pk)]}}) == ["Beta"]


def test_an_index_finds_what_equals(library: Library) -> None:
    """Only such filters may be asked first which documents they keep."""
    asked = filters.parse({"a": {"in": ["x", 1]}, "year": {"gt": 3}})
    assert asked is not None
    text, values = filters.sql(asked)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN SELECT FROM rag_document d WHERE {text}", values)
        assert "document_metadata" in str(cursor.fetchall())
    assert filters.is_indexed(asked)
    assert not filters.is_indexed(filters.parse({"or": [{"a": 1}, {"b": {"gt": 1}}]}) or asked)


# --- what is no filter --------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        condition = {"not": condition}
    return condition


@pytest.mark.parametrize(
    ("given", "param", "says"),
    [
        ([], "filters", "object"),
        ("x", "filters", "object"),
        ({"a": {"like": "x"}}, "filters.a.like", "no operator"),
        ({"a": {}}, "filters.a", "operator"),
        ({"a": [1]}, "filters.a", "'in'"),
        ({"a": {"in": 1}}, "filters.a.in", "list"),
        ({"a": {"in": [1, {}]}}, "filters.a.in[1]", "text, a number"),
        ({"a": {"in": list(range(501))}}, "filters.a.in", "500"),
        ({"a": {"gt": None}}, "filters.a.gt", "order"),
        ({"a": {"gt": True}}, "filters.a.gt", "order"),
        ({"a": {"exists": 1}}, "filters.a.exists", "true or false"),
        ({"a": float("nan")}, "filters.a", "finite"),
        ({"a": 10**400}, "filters.a", "large"),
        ({"a": "x\0"}, "filters.a", "character"),
        ({"a": "\ud800"}, "filters.a", "character"),
        ({"a\0": 1}, "filters.a\0", "character"),
        ({"a": "x" * 1001}, "filters.a", "1000"),
        ({"and": {"a": 1}}, "filters.and", "list"),
        ({"or": [{"a": 1}, 2]}, "filters.or[1]", "object"),
        ({"not": [{"a": 1}]}, "filters.not", "object"),
        ({"document_id": "x"}, "filters.document_id", "id"),
        ({"document_id": {"gt": str(UUID(int=1))}}, "filters.document_id.gt", "order"),
        ({"page": "3"}, "filters.page", "whole number"),
        ({"page": 10**12}, "filters.page", "whole number"),
        ({"title": 3}, "filters.title", "text"),
        ({"created_at": "yesterday"}, "filters.created_at", "2025-01-31"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "filters.created_at", "2025-01-31"),
        (nested(50), "filters" + ".not" * 10, "10 levels"),
        ({"or": [{"a": 1}] * 101}, "filters.or[99].a", "100"),
    ],
)
def test_what_is_wrong_is_named(given: Any, param: str, says: str) -> None:
    with pytest.raises(FilterError, match=says) as caught:
        filters.parse(given)
    assert caught.value.status == 400
    assert caught.value.param == param


@pytest.mark.parametrize("empty", [None, {}, {"and": []}])
def test_a_filter_without_conditions_keeps_everything(empty: Any) -> None:
    assert filters.parse(empty) is None


keys = st.one_of(st.sampled_from(["and", "or", "not", "a", "eq", "in", "page"]), st.text())
anything = st.recursive(
    st.one_of(st.none(), st.text(), st.floats(), st.integers()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner)),
)


@given(anything)
def test_whatever_is_given_is_a_filter_or_a_filter_error(given: Any) -> None:
    error: FilterError | None = None
    try:
        filters.parse(given)
    except FilterError as caught:
        error = caught
    assert error is None or (error.param or "").startswith("filters")


def test_a_filter_has_so_many_values_in_all() -> None:
    many = {"tag": {"in": list(range(500))}}
    assert filters.parse({"and": [many, many]}) is not None
    with pytest.raises(FilterError, match="at most 1000 values") as raised:
        filters.parse({"and": [many, many, {"tag": {"nin": ["one more"]}}]})
    assert raised.value.param == "filters.and[2].tag.nin"
