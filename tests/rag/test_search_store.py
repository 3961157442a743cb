"""The vector store on pgvector: what is put is found, by meaning and by words, in its space and library alone."""

import struct

import pytest
from django.db import IntegrityError, connection

from accounts.access import Caller
from accounts.models import Workspace
from rag import filters, store
from rag.models import Chunk, Library, StagedChunk
from rag.store import BadVector, Hit, Scope
from tests.rag.shelves import make_document, make_library, vector


def contents(hits: list[Hit]) -> list[str]:
    """What was found, best first."""
    found = dict(Chunk.objects.filter(pk__in=[hit.chunk_id for hit in hits]).values_list("pk", "content"))
    return [found[hit.chunk_id] for hit in hits]


def near(library: Library, *numbers: float, k: int = 10, condition: filters.Condition | None = None) -> list[Hit]:
    assert library.space is not None
    return store.current.search_vector(library.space, vector(*numbers), Scope([library.pk], condition), k)


def words(library: Library, text: str, k: int = 10) -> list[str]:
    assert library.space is not None
    return contents(store.current.search_text(library.space, text, Scope([library.pk]), k))


@pytest.fixture
def library(workspace: Workspace) -> Library:
    return make_library(workspace)


def test_the_nearest_come_first_with_their_cosine(library: Library) -> None:
    make_document(library, ["far", "near", "between"], [vector(0, 1), vector(1, 0.1), vector(1, 1)])

    hits = near(library, 1.0)

    assert contents(hits) == ["near", "between", "far"]
    assert [hit.score for hit in hits] == pytest.approx([0.995, 0.7071, 0.0], abs=1e-3)


def test_only_so_many_are_found(library: Library) -> None:
    make_document(library, list("abcdef"))

    assert len(near(library, 1.0, k=4)) == 4
    assert near(library, 1.0, k=0) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        vector(1.0, dimension=7),
        vector(0.0),
        vector(float("nan")),
        vector(1.0, float("inf")),
        vector(float("inf"), float("-inf")),
        vector(1e30),
        vector(1e-9),
    ],
)
def test_a_vector_that_is_none_is_refused(library: Library, bad: bytes) -> None:
    document = make_document(library, ["text"])
    assert library.space is not None
    entry = store.Entry(Chunk.objects.get().pk, document.pk, library.pk, bad, "text")

    with pytest.raises(BadVector):
        store.current.search_vector(library.space, bad, Scope([library.pk]), 1)
    with pytest.raises(BadVector):
        store.current.put(library.space, [entry])
    assert store.current.count(library.space) == 1


def test_another_workspaces_entries_are_not_found(library: Library, stranger: Caller) -> None:
    theirs = make_library(stranger.workspace)
    make_document(theirs, ["a secret word"])
    make_document(library, ["a public word"])
    assert library.space is not None
    assert theirs.space is not None

    for scope in (Scope([library.pk, theirs.pk]), Scope([theirs.pk]), Scope([library.pk], everything=True)):
        assert "a secret word" not in contents(store.current.search_vector(library.space, vector(1.0), scope, 10))
        assert "a secret word" not in contents(store.current.search_text(library.space, "secret word", scope, 10))


def test_one_library_is_searched_without_the_others(library: Library, workspace: Workspace) -> None:
    other = make_library(workspace, "other")
    make_document(library, ["one apple"])
    make_document(other, ["two apples"])

    assert contents(near(library, 1.0)) == ["one apple"]
    assert words(other, "apple") == words(other, "two")


def test_a_second_put_of_a_chunk_replaces_the_first(library: Library) -> None:
    document = make_document(library, ["text"], [vector(0, 1)])
    assert library.space is not None

    store.current.put(
        library.space, [store.Entry(Chunk.objects.get().pk, document.pk, library.pk, vector(1.0), "other words")]
    )

    assert store.current.count(library.space) == 1
    assert near(library, 1.0)[0].score == pytest.approx(1.0)
    assert words(library, "text") == []


def test_an_entry_needs_its_document(library: Library) -> None:
    assert library.space is not None
    entry = store.Entry(1, library.pk, library.pk, vector(1.0), "text")
    with pytest.raises(IntegrityError):
        store.current.put(library.space, [entry])


def test_a_deleted_document_takes_its_entries_along(library: Library) -> None:
    make_document(library, ["stays"])
    make_document(library, ["goes"]).delete()

    assert contents(near(library, 1.0)) == ["stays"]


def test_entries_are_removed_by_document_library_and_space(library: Library, workspace: Workspace) -> None:
    other = make_library(workspace, "other")
    document = make_document(library, ["a", "b"])
    make_document(library, ["c"])
    make_document(other, ["d"])
    assert library.space is not None

    assert store.current.remove_document(document.pk, library.space) == 2
    assert store.current.remove_document(document.pk) == 0
    assert store.current.remove_library(library.pk, library.space) == 1
    assert store.current.count(library.space, other.pk) == store.current.count(library.space) == 1
    Chunk.objects.all().delete()
    assert store.current.delete_missing(library.space) == 1
    make_document(other, ["e"])
    store.current.drop_space(library.space)
    assert store.current.count(library.space) == 0


def test_staged_chunks_become_entries_within_the_database(library: Library) -> None:
    document = make_document(library, ["old passage", "kept passage"], [vector(0, 1), vector(0, 0, 1)])
    space = library.space
    assert space is not None
    kept = Chunk.objects.get(content="kept passage")
    for number, (text, digest) in enumerate([("kept passage", kept.hash), ("new passage", b"n" * 32)]):
        StagedChunk.objects.create(
            document=document, version=2, ordinal=number, content=text, start=0, end=1, tokens=1, hash=digest,
            space=space,
        )  # fmt: skip

    assert store.current.copy_vectors(space, document.pk, 2) == 1
    assert struct.unpack("<8f", store.current.known_vectors(space, [bytes(kept.hash), b"x" * 32])[bytes(kept.hash)])[
        :3
    ] == (0, 0, 1)
    StagedChunk.objects.filter(embedding=None).update(embedding=[1, 0, 0, 0, 0, 0, 0, 0])
    Chunk.objects.all().delete()
    for staged in StagedChunk.objects.all():
        Chunk.objects.create(
            workspace_id=library.workspace_id, library=library, document=document, ordinal=staged.ordinal,
            content=staged.content, start=0, end=1, tokens=1, hash=staged.hash,
        )  # fmt: skip
    assert store.current.put_staged(space, document.pk, 2, "en") == 2

    assert contents(near(library, 1.0)) == ["new passage", "kept passage"]
    assert contents(near(library, 0.0, 0.0, 1.0))[0] == "kept passage"
    assert sorted(words(library, "passages")) == ["kept passage", "new passage"]


def test_equal_chunks_are_looked_up_each_by_its_hash(library: Library) -> None:
    """Not all with all, which is what Postgres would do with tables that were empty when it last looked."""
    space = library.space
    assert space is not None
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rag_chunk, rag_stagedchunk, rag_entry")
    document = make_document(library, [f"passage {number}" for number in range(400)])
    hashes = Chunk.objects.order_by("ordinal").values_list("hash", flat=True)
    StagedChunk.objects.bulk_create(
        StagedChunk(
            document=document, version=2, ordinal=number, content="", start=0, end=1, tokens=1, space=space,
            hash=bytes(digest) if number < 10 else bytes(digest)[::-1],
        )
        for number, digest in enumerate(hashes)
    )  # fmt: skip

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_get_xact_tuples_fetched('rag_chunk'::regclass)")
        before = cursor.fetchone()[0]
        assert store.current.copy_vectors(space, document.pk, 2) == 10
        cursor.execute("SELECT pg_stat_get_xact_tuples_fetched('rag_chunk'::regclass)")
        assert cursor.fetchone()[0] - before <= 100
