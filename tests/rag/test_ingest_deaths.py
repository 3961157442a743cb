"""Workers die at any step; another one goes on, and in the end every chunk is there once."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from accounts.access import Caller
from gateway_project.lib.database import connect
from rag import services
from rag.ingest import claims, documents, embedding, parsing, publishing, rounds, staging
from rag.ingest.lease import Lost
from rag.models import Chunk, Document, Entry, Library, StagedChunk, Status
from rag.services import Actor
from tests.rag.test_ingest import STORY, whole

pytestmark = pytest.mark.django_db(transaction=True)


class Death(BaseException):
    """What no handler stops: as far as the rows tell, the worker was killed here."""


@pytest.fixture
def document(actor: Actor) -> Document:
    library = services.create_library(actor, {"name": "stories", "chunk_tokens": 48, "overlap": 0})
    return services.upload(actor, library, name="story.txt", content=io.BytesIO(STORY.encode()))[0]


def expire() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rag_document SET leased_until = now() - interval '1 second' WHERE lease_owner <> ''")


def dying_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose worker dies once it was called so often; without having called it the last time."""
    left = [calls]

    def call(*arguments: Any, **named: Any) -> Any:
        if not left[0]:
            raise Death
        left[0] -= 1
        return function(*arguments, **named)

    return call


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [
        (documents, "parse", 0),
        (staging, "stage", 0),
        (staging, "bind", 0),
        (embedding, "write", 0),
        (embedding, "write", 2),
        (embedding, "write", 5),
        (documents, "publish", 0),
        (publishing, "_replace", 0),
        (publishing, "tell", 0),
    ],
)
def test_a_worker_dies(document: Document, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: int) -> None:
    monkeypatch.setattr(embedding, "TRANSACTION", 1)
    if name == "tell":  # a second version tells
        rounds.work()
        actor = Actor(document.workspace_id)
        changed = STORY.replace("counted 35", "counted 36").encode()
        services.upload(actor, document.library, name="story.txt", content=io.BytesIO(changed))
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dying_after(calls, getattr(module, name)))
        with pytest.raises(Death):
            rounds.work()
    done = StagedChunk.objects.filter(document=document).exclude(embedding=None).count()
    rounds.work()
    document.refresh_from_db()
    assert document.status != Status.READY  # the dead worker's lease still holds

    expire()
    rounds.work()

    document.refresh_from_db()
    assert (document.status, document.live_version) == (Status.READY, document.version)
    whole(document)
    assert name != "write" or done == calls


def test_who_lost_the_lease_writes_nothing(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = claims.next_claim()
    assert slow is not None
    expire()
    rounds.work()
    document.refresh_from_db()
    before = set(Chunk.objects.values_list("pk", flat=True))

    with pytest.raises(Lost):
        documents.fail(slow.lease, "late", "It came too late.")
    documents.process(slow)

    document.refresh_from_db()
    assert document.status == Status.READY
    assert set(Chunk.objects.values_list("pk", flat=True)) == before


def test_a_document_that_kills_every_worker_fails_in_words(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_DEATHS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(documents, "parse", dying_after(0, parsing.parse))
        for _ in range(2):
            with pytest.raises(Death):
                rounds.work()
            expire()
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code) == (Status.FAILED, "poison")
    services.retry(Actor(document.workspace_id), document)
    rounds.work()
    document.refresh_from_db()
    assert document.status == Status.READY


def test_an_error_is_tried_again_later_and_not_for_ever(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(documents, "parse", broken)
    monkeypatch.setattr(documents, "PAUSE", 0.0)
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code) == (Status.FAILED, "internal_error")
    assert "It was tried 5 times." in document.error
    assert "a defect" not in document.error


def test_it_waits_without_counting_while_the_models_are_away(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.embedding.errors import EmbedderAway

    def away(*_: Any) -> None:
        raise EmbedderAway

    with monkeypatch.context() as patch:
        patch.setattr(documents, "space_of", away)
        for _ in range(7):
            rounds.work()
            Document.objects.update(next_try_at=document.created_at)
    document.refresh_from_db()
    assert (document.tries, document.error_code) == (0, "")
    assert "does not answer" in document.error
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error) == (Status.READY, "")


def test_a_vector_that_is_none_fails_the_document_and_names_the_passage(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.embedding import engine
    from rag.embedding.errors import BadVector

    def bad(texts: list[str], model: str) -> Any:
        raise BadVector(3, model)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(engine.current, "encode_documents", bad)
        rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code) == (Status.FAILED, "bad_vector")
    assert "passage 4" in document.error
    services.retry(Actor(document.workspace_id), document)
    rounds.work()
    document.refresh_from_db()
    assert document.status == Status.READY
    whole(document)


def test_a_library_deleted_while_it_is_ingested(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "TRANSACTION", 1)
    write, calls = embedding.write, [0]

    def deleting(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            library = Library.objects.get(pk=document.library_id)
            services.delete_library(Actor(document.workspace_id), library)
        write(*arguments)

    monkeypatch.setattr(embedding, "write", deleting)
    rounds.work()
    for model in (Document, Chunk, StagedChunk, Entry):
        assert not model._default_manager.exists()


def test_workspaces_take_turns(owner: Caller, stranger: Caller) -> None:
    """One's many files are not in the way of another's few."""
    order: list[str] = []
    for caller, count in ((owner, 6), (stranger, 2)):
        actor = Actor.of(caller)
        library = services.default_library(actor.workspace_id)
        for number in range(count):
            services.upload_text(actor, library, text=f"Text {number} of {caller.user.email}.")
    while claim := claims.next_claim():
        order.append("owner" if claim.workspace_id == owner.workspace.pk else "stranger")
    assert order[:4].count("stranger") == 2
    assert len(order) == 8


def test_who_comes_second_takes_the_next_of_the_same_workspace(actor: Actor) -> None:
    library = services.default_library(actor.workspace_id)
    first, second = (services.upload_text(actor, library, text=f"Text {number}.")[0] for number in range(2))
    with connect("test") as other, other.transaction():
        # As it is while another worker claims it.
        other.execute("SELECT FROM rag_document WHERE id = %s FOR UPDATE", [first.pk])
        taken = [claims.next_claim(), claims.next_claim()]
    taken.append(claims.next_claim())
    assert [claim and claim.id for claim in taken] == [second.pk, None, first.pk]


def test_a_long_document_makes_room_for_another_workspace(
    owner: Caller, stranger: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "SLICE", -1.0)
    monkeypatch.setattr(embedding, "WINDOW", 3)
    finished: list[str] = []

    def noting(document: Document, *others: Any) -> None:
        publishing.publish(document, *others)
        finished.append(document.title)

    monkeypatch.setattr(documents, "publish", noting)
    for caller, title, text in ((owner, "long", STORY * 3), (stranger, "short", "It is short.")):
        actor = Actor.of(caller)
        library = services.create_library(actor, {"name": "mine", "chunk_tokens": 48, "overlap": 0})
        services.upload_text(actor, library, text=text, title=title)

    rounds.work()

    assert finished == ["short", "long"]
    for document in Document.objects.all():
        whole(document)
