"""A library moves to another model beside the old one, and back; with models of random weights."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.access import Caller
from gateway_project.lib.errors import Conflict
from rag import services, store
from rag.ingest import reembedding, rounds, sweep
from rag.models import Chunk, Document, Entry, Library, Reembedding, Status
from rag.services import Actor

pytestmark = pytest.mark.django_db(transaction=True)

State = Reembedding.State


def words(seed: int) -> bytes:
    return "\n\n".join(f"the answer {seed} {number} is a red city of france." for number in range(30)).encode()


@pytest.fixture
def actor(owner: Caller, settings: Any, tiny_models: Path, no_worker: None) -> Actor:
    settings.MODELS_DIR = tiny_models
    return Actor.of(owner)


@pytest.fixture
def library(actor: Actor) -> Library:
    """With one document, embedded by the model `text`."""
    library = services.create_library(actor, {"name": "facts", "model": "text", "chunk_tokens": 20, "overlap": 0})
    put(actor, library, 1)
    library.refresh_from_db()
    return library


def put(actor: Actor, library: Library, seed: int) -> Document:
    document, _ = services.upload(actor, library, name=f"{seed}.txt", content=io.BytesIO(words(seed)))
    rounds.work()
    document.refresh_from_db()
    assert document.status == Status.READY, document.error
    return document


def in_space(library: Library) -> dict[int, int]:
    """How many of the library's entries are in which space."""
    found: dict[int, int] = {}
    for space in Entry.objects.filter(library_id=library.pk).values_list("space_id", flat=True):
        found[space] = found.get(space, 0) + 1
    return found


def test_it_moves_at_once_and_back(actor: Actor, library: Library) -> None:
    old, chunks = library.space, Chunk.objects.filter(library=library).count()
    assert old is not None
    assert chunks > 10
    told: list[Any] = []
    services.on_documents_gone(lambda *gone: told.append(gone))

    begun = services.reembed(actor, library, "other")
    with pytest.raises(Conflict):
        services.reembed(actor, library, "other")
    rounds.work()

    begun.refresh_from_db()
    library.refresh_from_db()
    assert (begun.state, begun.done, begun.total, begun.error) == (State.DONE, chunks, chunks, "")
    assert library.space is not None
    assert (library.model, library.space.model, library.space.dimension) == ("other", "other", 48)
    assert in_space(library) == {old.pk: chunks, library.space.pk: chunks}
    assert (library.workspace_id, frozenset([library.pk]), frozenset()) in told

    # What came since has vectors of the new model alone, until the way back makes the old one's.
    put(actor, library, 2)
    back = services.rollback_reembedding(actor, library)
    rounds.work()
    back.refresh_from_db()
    library.refresh_from_db()
    assert (back.state, library.space) == (State.DONE, old)
    assert in_space(library)[old.pk] == Chunk.objects.filter(library=library).count()


def test_documents_that_come_meanwhile_are_not_left_out(
    actor: Actor, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, calls = reembedding._embed, [0]

    def also_publishing(*arguments: Any) -> None:
        embed(*arguments)
        calls[0] += 1
        if calls[0] == 1:
            put(actor, library, 3)

    monkeypatch.setattr(reembedding, "_embed", also_publishing)
    services.reembed(actor, library, "other")
    rounds.work()
    library.refresh_from_db()
    assert library.space is not None
    assert library.space.model == "other"
    assert in_space(library)[library.space.pk] == Chunk.objects.filter(library=library).count()


def test_a_cancelled_one_leaves_the_library_as_it_was(
    actor: Actor, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = library.space
    assert old is not None
    embed = reembedding._embed
    monkeypatch.setattr(reembedding, "TRANSACTION", 5)

    def cancelling(*arguments: Any) -> None:
        embed(*arguments)
        if Reembedding.objects.filter(library=library, state=State.RUNNING).exists():
            services.cancel_reembedding(actor, library)

    monkeypatch.setattr(reembedding, "_embed", cancelling)
    services.reembed(actor, library, "other")
    rounds.work()

    library.refresh_from_db()
    assert library.space == old
    assert Reembedding.objects.get().state == State.CANCELLED
    assert len(in_space(library)) == 2
    with pytest.raises(Conflict):
        services.cancel_reembedding(actor, library)
    sweep.tidy_store()
    assert in_space(library) == {old.pk: Chunk.objects.filter(library=library).count()}


def test_a_worker_that_dies_is_followed_by_another(
    actor: Actor, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    monkeypatch.setattr(reembedding, "TRANSACTION", 5)
    embed, made = reembedding._embed, [0]

    def dying(lease: Any, space: Any, chunks: list[Chunk]) -> None:
        if made[0] == 2:
            made[0] += 1
            raise Death
        made[0] += 1
        embed(lease, space, chunks)

    monkeypatch.setattr(reembedding, "_embed", dying)
    services.reembed(actor, library, "other")
    with pytest.raises(Death):
        rounds.work()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rag_reembedding SET leased_until = now() - interval '1 second'")
    rounds.work()
    library.refresh_from_db()
    assert library.space is not None
    assert library.space.model == "other"
    assert store.current.count(library.space, library.pk) == Chunk.objects.filter(library=library).count()


def test_a_model_that_makes_no_numbers_fails_by_name(actor: Actor, library: Library) -> None:
    begun = services.reembed(actor, library, "nan")
    rounds.work()
    begun.refresh_from_db()
    library.refresh_from_db()
    assert begun.state == State.FAILED
    assert "nan" in begun.error
    assert library.space is not None
    assert library.space.model == "text"

    other = services.create_library(actor, {"name": "nothing", "model": "nan"})
    document, _ = services.upload_text(actor, other, text="the city of paris")
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code) == (Status.FAILED, "bad_vector")
    assert "passage 1" in document.error


def test_another_model_takes_a_re_embedding(actor: Actor, library: Library) -> None:
    with pytest.raises(Conflict, match="reembed"):
        services.change_library(actor, library, {"model": "other"})
    with pytest.raises(Conflict, match="not re-embedded"):
        services.rollback_reembedding(actor, library)
