"""Search in a workspace's libraries: by meaning, by words and both, with and without the model, in that workspace."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.access import Caller
from accounts.models import Workspace
from gateway_project.lib.errors import InvalidRequest, NotFound, ServiceUnavailable
from rag import retrieve
from rag.embedding import client, spaces
from rag.models import Chunk, Document, Library, PrivacyMode, Reembedding, Space
from rag.retrieve import Found, Query, search
from tests.rag.embedder import EmbedderProcess
from tests.rag.shelves import make_document, make_library, make_space, vector

PASSAGES = [
    "The cat slept on the warm windowsill all afternoon.",
    "Quarterly revenue rose by twelve percent compared to last year.",
    "A glacier is a body of dense ice that moves under its own weight.",
    "Our part number ZX-4471 fits every pump built after 2009.",
]

MakeUser = Callable[..., Caller]


def embedded_library(workspace: Workspace, name: str = "default", passages: list[str] = PASSAGES) -> Library:
    """A library whose passages have real vectors."""
    # The first one reads torch and the model, from a disk that others use, too.
    made = client.current.embed_sync(passages, role="document", timeout=110)
    library = make_library(workspace, name, spaces.space_of(workspace.pk, made))
    make_document(library, passages, made.vectors, metadata={"kind": name})
    return library


def contents(found: Found) -> list[str]:
    return [result.content for result in found.results]


# --- with a model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_meaning_is_found_without_a_common_word(embedder: EmbedderProcess, workspace: Workspace, mode: str) -> None:
    embedded_library(workspace)

    found = search(workspace.pk, Query("How did the company's income develop?", mode=mode, top_k=2))

    assert contents(found)[0] == PASSAGES[1]
    assert (found.mode, found.note, len(found.results)) == (mode, "", 2)
    assert {"embed", "search"} <= found.timings.keys()


def test_hybrid_finds_what_only_words_tell(embedder: EmbedderProcess, workspace: Workspace) -> None:
    embedded_library(workspace)

    found = search(workspace.pk, Query("ZX-4471"))

    best = found.results[0]
    assert best.content == PASSAGES[3]
    assert best.score == pytest.approx(1.0)
    assert [best.content[start:end] for start, end in best.highlights] == ["ZX-4471"]


def test_libraries_of_different_models_are_searched_at_once(embedder: EmbedderProcess, workspace: Workspace) -> None:
    """One of them has a model that is not here: its words are found, and that is said."""
    embedded_library(workspace)
    elsewhere = make_library(workspace, "elsewhere", make_space(workspace, model="nobody/has-this"))
    make_document(elsewhere, ["Penguins walk upon the ice"])

    found = search(workspace.pk, Query("ice", top_k=10))

    assert {"Penguins walk upon the ice", PASSAGES[2]} <= set(contents(found))
    assert found.mode == "hybrid"
    assert found.note.startswith("Some libraries were searched by words alone: nobody/has-this")


def test_a_model_of_another_revision_is_not_compared_with(embedder: EmbedderProcess, workspace: Workspace) -> None:
    embedded_library(workspace)
    Space.objects.filter(workspace=workspace).update(revision="other")

    found = search(workspace.pk, Query("glacier", mode="vector"))

    assert (found.mode, contents(found)) == ("text", [PASSAGES[2]])
    assert "another revision" in found.note


def test_a_long_query_is_embedded_as_far_as_the_model_reads(embedder: EmbedderProcess, workspace: Workspace) -> None:
    embedded_library(workspace)

    found = search(workspace.pk, Query("revenue " * 1200, mode="vector", top_k=1))

    assert contents(found) == [PASSAGES[1]]


# --- without one --------------------------------------------------------------------------------------


@pytest.fixture
def nobody(settings: Any, tmp_path: Any) -> None:
    """No worker on the socket."""
    settings.EMBED_SOCKET = str(tmp_path / "nobody.sock")


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
def test_without_the_worker_words_are_searched_and_a_note_says_so(
    nobody: None, workspace: Workspace, mode: str
) -> None:
    make_document(make_library(workspace), PASSAGES)

    found = search(workspace.pk, Query("glaciers", mode=mode))

    assert (found.mode, contents(found)) == ("text", [PASSAGES[2]])
    assert found.note == "Searched by words alone: The embedding worker does not answer."


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("", "this installation has no reranker (EMBEDDING_RERANK_MODEL)."),
        ("BAAI/bge-reranker-base", "The embedding worker does not answer."),
    ],
)
def test_a_reranker_that_is_not_there_leaves_the_order(
    nobody: None, workspace: Workspace, settings: Any, model: str, why: str
) -> None:
    settings.EMBEDDING_RERANK_MODEL = model
    make_document(make_library(workspace), PASSAGES)

    found = search(workspace.pk, Query("glaciers", mode="text", rerank=True))

    assert contents(found) == [PASSAGES[2]]
    assert found.note == f"Not reranked: {why}"


def test_a_result_tells_where_it_is_from(workspace: Workspace) -> None:
    library = make_library(workspace, "Handbook")
    library.privacy_mode = PrivacyMode.STRICT
    library.save()
    document = make_document(library, PASSAGES, title="Facts", source="facts.pdf", pages=[1, 1, 2, 2])
    Chunk.objects.filter(page=2, ordinal=2).update(start=100, end=166, headings=["Ice", "Kinds"])

    found = search(workspace.pk, Query("moving glacier", mode="text"))

    (result,) = found.results
    assert (result.document_id, result.title, result.source) == (document.pk, "Facts", "facts.pdf")
    assert (result.library_id, result.library) == (library.pk, "Handbook")
    assert (result.page, result.start, result.end, result.headings) == (2, 100, 166, ["Ice", "Kinds"])
    assert [result.content[start:end] for start, end in result.highlights] == ["glacier", "moves"]
    assert found.strict


def test_libraries_are_named_by_name_or_id(workspace: Workspace) -> None:
    one, two = make_library(workspace, "one"), make_library(workspace, "two")
    make_document(one, ["apple one"])
    make_document(two, ["apple two"])

    named: list[tuple[list[str | uuid.UUID], set[str]]] = [
        (["one"], {"apple one"}),
        ([str(two.pk)], {"apple two"}),
        ([two.pk, "two"], {"apple two"}),
        (["one", two.pk], {"apple one", "apple two"}),
        ([], {"apple one", "apple two"}),
    ]
    for libraries, expected in named:
        assert set(contents(search(workspace.pk, Query("apple", libraries, mode="text")))) == expected


@pytest.mark.parametrize("name", ["", "nothing", str(uuid.uuid4()), "a\0b", "\ud800", "'; DROP TABLE rag_entry --"])
def test_a_library_that_is_not_there_is_not_found(workspace: Workspace, name: str) -> None:
    make_library(workspace)
    with pytest.raises(NotFound):
        search(workspace.pk, Query("x", ["default", name]))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (Query(""), "query"),
        (Query(" \n"), "query"),
        (Query("x" * 100_000), "query"),
        (Query("x", top_k=-1), "top_k"),
        (Query("x", top_k=0), "top_k"),
        (Query("x", top_k=101), "top_k"),
        (Query("x", mode="magic"), "mode"),
        (Query("x", filters={"a": {"like": 1}}), "filters.a.like"),
    ],
)
def test_a_query_that_is_none_is_refused(workspace: Workspace, query: Query, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        search(workspace.pk, query)
    assert caught.value.param == param


def test_nothing_is_found_where_nothing_is(workspace: Workspace) -> None:
    found = search(workspace.pk, Query("x"))
    assert (found.results, found.mode, found.note, found.strict) == ([], "hybrid", "", False)
    make_library(workspace)
    Library.objects.create(workspace=workspace, name="without a document")
    assert search(workspace.pk, Query("x", mode="text")).results == []


def test_a_library_that_changes_its_model_is_searched_in_one_space(workspace: Workspace) -> None:
    library = make_library(workspace)
    make_document(library, ["old apple"])
    new = make_space(workspace, model="new/model")
    Reembedding.objects.create(library=library, model="new/model", old_space=library.space, new_space=new)
    in_new = make_library(workspace, "in the new one", new)
    make_document(in_new, ["other apple"])
    # What is on its way lies in the new space already.
    library.space = new
    make_document(library, ["staged apple"])

    assert set(contents(search(workspace.pk, Query("apple", mode="text")))) == {"old apple", "other apple"}


def test_queries_do_not_grow_with_what_is_found(nobody: None, workspace: Workspace) -> None:
    counts = []
    for name in "abc":
        library = make_library(workspace, name)
        for number in range(5):
            make_document(library, [f"apple {number}", "pear"])
        with CaptureQueriesContext(connection) as captured:
            found = search(workspace.pk, Query("apple pear", top_k=20, filters={"language": "en"}))
        counts.append((len(found.results), len(captured)))

    assert [results for results, _ in counts] == [10, 20, 20]
    assert len({queries for _, queries in counts}) == 1
    assert counts[0][1] <= 20


# --- whose rows they are ------------------------------------------------------------------------------

shelf = st.lists(st.lists(st.sampled_from(["apple", "pear", "plum"]), min_size=1, max_size=3), max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ours=shelf,
    theirs=shelf,
    text=st.sampled_from(["apple", "pear plum", '"apple pear"']),
    mode=st.sampled_from(["hybrid", "text"]),
)
def test_no_row_of_another_workspace_is_found(
    nobody: None, make_user: MakeUser, ours: list[list[str]], theirs: list[list[str]], text: str, mode: str
) -> None:
    people = [make_user(f"{uuid.uuid4()}@example.com").workspace for _ in range(2)]
    for workspace, texts in zip(people, (ours, theirs), strict=True):
        for number, words in enumerate(texts):
            make_document(make_library(workspace, f"library {number}"), [" ".join(words)], [vector(1.0)])

    for workspace in people:
        own = list(Library.objects.filter(workspace=workspace).values_list("pk", flat=True))
        for libraries in ([], own):
            found = search(workspace.pk, Query(text, libraries, mode=mode, top_k=100))
            owners = Document.objects.filter(pk__in=[result.document_id for result in found.results])
            assert set(owners.values_list("workspace_id", flat=True)) <= {workspace.pk}
    for library in Library.objects.filter(workspace=people[1]):
        with pytest.raises(NotFound):
            search(people[0].pk, Query(text, [library.pk], mode=mode))


@pytest.mark.django_db(transaction=True)
def test_a_search_that_takes_the_database_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.objects.create(name="Slow")
    library = make_library(workspace)
    for number in range(20):
        document = make_document(library, [f"The door number {number} is green."])
        Document.objects.filter(pk=document.pk).update(metadata={"tags": [f"tag {each}" for each in range(400)]})
    monkeypatch.setattr(retrieve, "STATEMENT_MS", 20)
    wanted = {"or": [{"tags": {"in": [f"{prefix} {each}" for each in range(500)]}} for prefix in "ab"]}
    with pytest.raises(ServiceUnavailable, match="too long"):
        search(workspace.pk, Query("green door", mode="text", filters={"not": wanted}))
