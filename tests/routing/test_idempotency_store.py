"""Claims on idempotency keys in Postgres: whose lease holds, what lapses, and what is kept of an answer."""

import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.db.models import F
from pytest_django import Settings

from accounts.access import Caller
from accounts.models import Workspace
from gateway_project.lib import database
from gateway_project.lib.ids import uuid7_text
from keys import vault
from rag import services as rag
from rag.models import Document
from rag.services import Actor
from routing import tasks
from routing.idempotency import store
from routing.idempotency.packing import packed
from routing.idempotency.store import Asked, Kept, OtherRequest, Running
from routing.models import IdempotentRequest

pytestmark = pytest.mark.django_db(transaction=True)

KEY = uuid7_text()
NAME = b"n" * 32
BODY, OTHER = b"b" * 32, b"o" * 32
ANSWER = b'{"said":"the quick brown fox"}'


@pytest.fixture(autouse=True)
def _own_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database of these tests has just been started, which gives leases a moment more."""
    monkeypatch.setattr(store, "GRACE", timedelta(0))
    yield
    connection = getattr(store._own, "connection", None)
    if connection is not None:
        connection.close()


@pytest.fixture
def db_connection(db: None) -> Iterator["psycopg.Connection[Any]"]:
    with database.connect("test") as opened:
        yield opened


@pytest.fixture
def asked(workspace: Workspace) -> Asked:
    return request(workspace)


def request(workspace: Workspace, fingerprint: bytes = BODY) -> Asked:
    """One more request with the same idempotency key."""
    return Asked(uuid7_text(), str(workspace.id), KEY, NAME, fingerprint)


def kept(asked: Asked, status: int = 200) -> Kept:
    return Kept(asked.id, status, "", (("content-type", "application/json"),), ANSWER)


def shift(**moments: timedelta) -> None:
    """Let time pass for what is stored."""
    IdempotentRequest.objects.update(**{name: F(name) - by for name, by in moments.items()})


def test_one_holds_the_key_until_its_answer_is_kept(workspace: Workspace, asked: Asked) -> None:
    assert store.claim(asked) is None
    assert isinstance(store.claim(request(workspace)), Running)
    store.keep(kept(asked), packed(ANSWER), asked.workspace_id)
    assert store.claim(request(workspace)) == kept(asked)


def test_a_claim_that_arrived_although_its_connection_broke_is_its_own(asked: Asked) -> None:
    assert store.claim(asked) is None
    assert store.claim(asked) is None


def test_one_that_is_released_is_free_for_any_request(workspace: Workspace, asked: Asked) -> None:
    store.claim(asked)
    store.release(asked.id)
    assert store.claim(request(workspace, OTHER)) is None


def test_an_answer_is_not_released(workspace: Workspace, asked: Asked) -> None:
    store.claim(asked)
    store.keep(kept(asked), packed(ANSWER), asked.workspace_id)
    store.release(asked.id)
    assert isinstance(store.claim(request(workspace)), Kept)


def test_the_key_of_a_process_that_died_is_free_when_its_lease_ends(workspace: Workspace, asked: Asked) -> None:
    store.claim(asked)
    shift(lease_until=store.LEASE)
    assert isinstance(store.claim(request(workspace, OTHER)), OtherRequest)
    heir = request(workspace)
    assert store.claim(heir) is None
    # It was not dead: its word does not count any more.
    assert store.renew(asked.id) is False
    store.keep(kept(asked, status=400), packed(ANSWER), asked.workspace_id)
    store.release(asked.id)
    assert isinstance(store.claim(request(workspace)), Running)
    store.keep(kept(heir), packed(ANSWER), asked.workspace_id)
    assert store.claim(request(workspace)) == kept(heir)


def test_a_renewed_lease_holds(workspace: Workspace, asked: Asked) -> None:
    store.claim(asked)
    shift(lease_until=store.LEASE)
    assert store.renew(asked.id) is True
    assert isinstance(store.claim(request(workspace)), Running)


def test_after_a_start_of_the_database_holders_have_a_moment_to_renew(
    workspace: Workspace, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GRACE", timedelta(days=1))
    store.claim(asked)
    shift(lease_until=store.LEASE)
    assert isinstance(store.claim(request(workspace)), Running)


def test_after_a_day_the_key_is_new(workspace: Workspace, asked: Asked) -> None:
    store.claim(asked)
    store.keep(kept(asked), packed(ANSWER), asked.workspace_id)
    shift(expires_at=store.KEPT_FOR - timedelta(minutes=1))
    assert isinstance(store.claim(request(workspace, OTHER)), OtherRequest)
    shift(expires_at=timedelta(minutes=1))
    later = request(workspace, OTHER)
    assert store.claim(later) is None
    row = IdempotentRequest.objects.get()
    assert (str(row.id), row.status, row.sealed) == (later.id, None, None)


def test_the_beat_removes_what_is_a_day_old(
    workspace: Workspace, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH", 2)
    for number in range(5):
        store.claim(Asked(uuid7_text(), str(workspace.id), KEY, bytes([number]) * 32, BODY))
    shift(expires_at=store.KEPT_FOR)
    store.claim(asked)
    tasks.delete_expired_answers()
    assert [str(row.id) for row in IdempotentRequest.objects.all()] == [asked.id]


@pytest.fixture
def document(owner: Caller) -> Document:
    actor = Actor.of(owner)
    library = rag.create_library(actor, {"name": "shelf"})
    return rag.upload_text(actor, library, text="The quick brown fox.")[0]


def test_an_answer_is_kept_for_as_long_as_the_documents_that_it_quotes(
    workspace: Workspace, asked: Asked, document: Document
) -> None:
    store.claim(asked)
    store.keep(kept(asked), packed(ANSWER), asked.workspace_id, [str(document.pk)])
    assert store.claim(request(workspace)) == kept(asked)
    Document.objects.filter(pk=document.pk).delete()  # nobody has tidied up yet
    found = store.claim(request(workspace))
    assert isinstance(found, Kept)
    assert found.body is None


def test_what_quotes_a_deleted_document_is_dropped_and_its_key_stays_used(
    workspace: Workspace, owner: Caller, asked: Asked, document: Document, db_connection: "psycopg.Connection[Any]"
) -> None:
    other = Asked(uuid7_text(), str(workspace.id), KEY, b"o" * 32, BODY)
    for each, documents in ((asked, [str(document.pk)]), (other, [])):
        store.claim(each)
        store.keep(kept(each), packed(ANSWER), asked.workspace_id, documents)
    store.forget(db_connection, workspace.pk)
    assert not IdempotentRequest.objects.filter(sealed=None).exists()
    rag.delete_document(Actor.of(owner), document)
    assert [str(row.pk) for row in IdempotentRequest.objects.filter(sealed=None)] == [asked.id]
    assert isinstance(store.claim(request(workspace, OTHER)), OtherRequest)


def test_of_one_workspace_so_many_bytes_are_kept_and_no_more(
    workspace: Workspace, stranger: Caller, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(vault.seal_bytes(packed(ANSWER) or b""))
    monkeypatch.setattr(store, "MOST_OF_ONE", 2 * size)
    rows = [Asked(uuid7_text(), str(workspace.id), KEY, bytes([number]) * 32, BODY) for number in range(3)]
    rows.append(Asked(uuid7_text(), str(stranger.workspace.id), uuid7_text(), NAME, BODY))
    for each in rows:
        store.claim(each)
        store.keep(kept(each), packed(ANSWER), each.workspace_id)
    unkept = IdempotentRequest.objects.filter(sealed=None)
    assert [str(row.id) for row in unkept] == [rows[2].id]
    # It ran all the same, and does so once.
    again = store.claim(Asked(uuid7_text(), str(workspace.id), KEY, rows[2].name, BODY))
    assert isinstance(again, Kept)
    assert again.body is None

    IdempotentRequest.objects.filter(pk=rows[0].id).delete()
    store._held.clear()  # it is counted anew after a while
    store.claim(asked)
    store.keep(kept(asked), packed(ANSWER), asked.workspace_id)
    assert store.claim(request(workspace)) == kept(asked)


def test_a_workspaces_answers_go_with_it(workspace: Workspace, asked: Asked) -> None:
    store.claim(asked)
    workspace.delete()
    assert not IdempotentRequest.objects.exists()


def test_answers_are_sealed_and_sealed_anew_with_the_vault(
    workspace: Workspace, asked: Asked, settings: Settings
) -> None:
    store.claim(asked)
    store.keep(kept(asked), packed(ANSWER), asked.workspace_id)
    sealed = bytes(IdempotentRequest.objects.get().sealed or b"")
    with pytest.raises(zlib.error):
        zlib.decompress(sealed)
    assert b"quick" not in sealed

    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = (Fernet.generate_key().decode(), *old)
    vault.rotate()
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    assert store.claim(request(workspace)) == kept(asked)

    settings.ENCRYPTION_KEYS = old
    found = store.claim(request(workspace))
    assert isinstance(found, Kept)
    assert found.body is None
