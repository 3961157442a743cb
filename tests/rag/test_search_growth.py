"""A space that grows gets an index of its own, and loses it again, while it is searched and written to."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from accounts.access import Caller
from accounts.models import Workspace
from gateway_project.lib.database import connect
from rag import filters, store
from rag.models import Chunk, Document, Library, Space
from rag.store import Scope, nearest, parts, scoping, upkeep
from tests.rag.shelves import any_vector, make_document, make_library, make_space, vector

DIMENSION = 16


@pytest.fixture
def workspace(transactional_db: None, make_user: Callable[[str], Caller]) -> Iterator[Workspace]:
    """Indexes are built beside other transactions, so that what a test writes must be committed."""
    yield make_user("grower@example.com").workspace
    Space.objects.update(partitioned=False)
    Document.objects.all().delete()
    store.current.maintain()


@pytest.fixture
def library(workspace: Workspace) -> Library:
    return make_library(workspace, space=make_space(workspace, DIMENSION))


@pytest.fixture
def space(library: Library) -> Space:
    assert library.space is not None
    return library.space


def promote(space: Space) -> None:
    with connect("test") as own:
        upkeep.promote(own, space.pk)


def demote(space: Space) -> None:
    with connect("test") as own:
        upkeep.demote(own, space.pk)


def fill(library: Library, documents: int, seed: int = 1) -> list[Document]:
    chance = random.Random(seed)
    return [
        make_document(
            library,
            [f"word{number} common" for _ in range(10)],
            [any_vector(chance, DIMENSION) for _ in range(10)],
            pages=list(range(10)),
            metadata={"n": number, "tenth": number % 10 == 0},
        )
        for number in range(documents)
    ]


def test_a_space_that_has_grown_gets_its_part_and_an_empty_one_loses_it(
    library: Library, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "GROWN", 50)
    fill(library, 4)
    store.current.maintain()
    assert not parts.layout(space).own

    fill(library, 2)
    store.current.maintain()
    assert parts.layout(space) == parts.Layout(own=True, rows=60, indexed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM rag_entry_shared WHERE space_id = %s", [space.pk])
        assert cursor.fetchone()[0] == 0
    make_document(library, ["new"], [vector(1.0, dimension=DIMENSION)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM rag_entry WHERE part = %s", [space.pk])
        assert cursor.fetchone()[0] == 61

    store.current.drop_space(space)
    store.current.maintain()
    space.refresh_from_db()
    assert not parts.layout(space).own
    assert not space.partitioned


def test_a_space_that_has_shrunk_far_goes_back_to_the_others_and_a_little_is_not_far(
    library: Library, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "GROWN", 40)
    documents = fill(library, 4)
    store.current.maintain()
    assert parts.layout(space).own

    for document in documents[:3]:
        Document.objects.filter(pk=document.pk).delete()
    store.current.maintain()
    space.refresh_from_db()
    assert (parts.layout(space).own, space.partitioned) == (True, True)

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM rag_entry WHERE chunk_id = (SELECT min(chunk_id) FROM rag_entry)")
    store.current.maintain()
    space.refresh_from_db()
    assert (parts.layout(space).own, space.partitioned) == (False, False)
    assert len(store.current.search_vector(space, vector(1.0, dimension=DIMENSION), Scope([library.pk]), 50)) == 9


def test_the_part_of_a_workspace_that_is_gone_goes(library: Library, space: Space, workspace: Workspace) -> None:
    fill(library, 1)
    promote(space)
    Library.objects.all().delete()
    Space.objects.all().delete()

    store.current.maintain()

    assert not parts.layout(space).own


def test_a_build_that_was_broken_off_is_finished(
    library: Library, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "GROWN", 100)
    fill(library, 3)
    promote(space)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {parts.words(space.pk)}")
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [parts.hnsw(space.pk)])
        # What was on its way, too.
        cursor.execute("UPDATE rag_entry SET part = 0 WHERE document_id = %s", [Document.objects.all()[0].pk])
    assert not parts.layout(space).indexed
    everything = Scope([library.pk])
    before = store.current.search_vector(space, vector(1.0, dimension=DIMENSION), everything, 30)

    store.current.maintain()

    assert parts.layout(space).indexed
    assert store.current.search_vector(space, vector(1.0, dimension=DIMENSION), everything, 30) == before


CONDITIONS: list[dict[str, object] | None] = [None, {"tenth": True}, {"n": {"lt": 15}}, {"page": {"in": [2, 7]}}]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
@pytest.mark.parametrize("one_library", [False, True])
def test_the_index_finds_what_comparing_all_finds(
    workspace: Workspace,
    library: Library,
    space: Space,
    monkeypatch: pytest.MonkeyPatch,
    condition: dict[str, object] | None,
    one_library: bool,
) -> None:
    other = make_library(workspace, "other", space)
    fill(library, 60)
    fill(other, 60, seed=2)
    chance = random.Random(3)
    asked = [any_vector(chance, DIMENSION) for _ in range(20)]
    libraries = [library.pk] if one_library else [library.pk, other.pk]
    scope = Scope(libraries, filters.parse(condition), everything=not one_library)
    exact = [store.current.search_vector(space, each, scope, 10) for each in asked]

    promote(space)
    monkeypatch.setattr(scoping, "FEW", 5)
    monkeypatch.setattr(scoping, "FEW_DOCUMENTS", 5)
    monkeypatch.setattr(scoping, "READ_DOCUMENTS", 5)
    found = [store.current.search_vector(space, each, scope, 10) for each in asked]

    right = sum(
        len({hit.chunk_id for hit in ours} & {hit.chunk_id for hit in theirs})
        for ours, theirs in zip(found, exact, strict=True)
    )
    assert right / sum(map(len, exact)) >= 0.97
    assert all(len(ours) == len(theirs) for ours, theirs in zip(found, exact, strict=True))
    assert all([hit.score for hit in each] == sorted((hit.score for hit in each), reverse=True) for each in found)


def test_what_a_scan_finds_bit_by_bit_comes_in_its_order(
    library: Library, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(library, 200)
    promote(space)
    monkeypatch.setattr(nearest, "EF_SEARCH", 1)
    for name in ("FEW", "FEW_DOCUMENTS", "READ_DOCUMENTS"):
        monkeypatch.setattr(scoping, name, 2)
    scope, chance = Scope([library.pk], filters.parse({"tenth": True})), random.Random(5)

    for _ in range(100):
        hits = store.current.search_vector(space, any_vector(chance, DIMENSION), scope, 40)
        assert len(hits) == 40
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_filter_that_keeps_less_than_asked_for_finds_all_of_it(
    library: Library, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(library, 40)
    promote(space)
    for name in ("FEW", "FEW_DOCUMENTS", "READ_DOCUMENTS"):
        monkeypatch.setattr(scoping, name, 2)
    scope = Scope([library.pk], filters.parse({"n": {"in": [3, 4, 5]}, "page": 1}))

    hits = store.current.search_vector(space, vector(1.0, dimension=DIMENSION), scope, 10)

    assert sorted(Chunk.objects.filter(pk__in=[hit.chunk_id for hit in hits]).values_list("content", flat=True)) == [
        "word3 common",
        "word4 common",
        "word5 common",
    ]


class Traffic:
    """Threads that write, delete and search until they are told to stop; `flaws` says what they saw."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.flaws: list[str] = []
        self.searches = 0
        self.kept: list[Document] = []
        self._stop = threading.Event()

    def write(self, number: int) -> None:
        chance = random.Random(number)
        count = 0
        while not self._stop.is_set():
            count += 1
            with transaction.atomic():
                made = make_document(
                    self.library, [f"kept writer{number}", "kept"], [any_vector(chance, DIMENSION) for _ in range(2)]
                )
            if count % 3 == 0:
                Document.objects.filter(pk=made.pk).delete()
            else:
                self.kept.append(made)

    def search(self) -> None:
        space = self.library.space
        assert space is not None
        scope = Scope([self.library.pk])
        while not self._stop.is_set():
            known = {document.pk for document in list(self.kept)}
            for way in ("vector", "text"):
                if way == "vector":
                    hits = store.current.search_vector(space, vector(1.0, dimension=DIMENSION), scope, 100_000)
                else:
                    hits = store.current.search_text(space, "kept", scope, 100_000)
                ids = [hit.chunk_id for hit in hits]
                if len(ids) != len(set(ids)):
                    self.flaws.append(f"{way}: an entry was found twice")
                seen = set(Chunk.objects.filter(pk__in=ids).values_list("document_id", flat=True))
                if missing := known - seen:
                    self.flaws.append(f"{way}: {len(missing)} of {len(known)} documents were not found")
            self.searches += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._run, args=each) for each in ((self.write, 1), (self.write, 2), (self.search,))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _run(self, work: Callable[..., None], *arguments: int) -> None:
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001  (a thread's end must fail the test)
            self.flaws.append(repr(error))
        finally:
            connections.close_all()


@pytest.mark.slow
def test_nothing_is_lost_while_a_space_moves_to_its_part_and_back(
    library: Library, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", 3)
    traffic = Traffic(library)
    with traffic.running():
        for _ in range(3):
            promote(space)
            demote(space)
        promote(space)

    assert traffic.flaws == []
    assert traffic.searches >= 3
    assert store.current.count(space) == 2 * len(traffic.kept) == 2 * Document.objects.count()
