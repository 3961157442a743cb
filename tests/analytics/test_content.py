"""Prompts and answers are kept where a workspace chose it: as ciphertext, for so long, for members to read."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from django.db import connection as django_connection
from django.utils import timezone

from accounts.access import Caller
from accounts.models import AuditEntry, Workspace
from analytics import content, ledger
from analytics.models import RequestContent, UsageRecord
from gateway_project.env import new_encryption_key
from gateway_project.lib import database
from gateway_project.lib.ids import uuid7
from keys import vault
from keys.models import GatewayKey
from rag import services as rag
from rag.models import Document
from rag.services import Actor
from tests.analytics.ledger import line, spooled
from tests.api_client import ApiClient
from tests.console.browser import Browser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("writer")]

PROMPT = {"model": "auto", "messages": [{"role": "user", "content": "the private prompt"}]}
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"the private answer"}}]}'
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"the private "}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"answer"}}]}\n\ndata: [DONE]\n\n'
)


@pytest.fixture
def connection(db: None) -> Iterator["psycopg.Connection[Any]"]:
    with database.connect("test") as opened:
        yield opened


@pytest.fixture
def keeping(workspace: Workspace) -> Workspace:
    workspace.store_content = True
    workspace.save()
    return workspace


@pytest.fixture
def documents(owner: Caller) -> list[Document]:
    actor = Actor.of(owner)
    library = rag.create_library(actor, {"name": "shelf"})
    return [rag.upload_text(actor, library, text=f"The {colour} fox.")[0] for colour in ("quick", "brown")]


def made_from(*documents: Document) -> dict[str, Any]:
    """What the ledger keeps of the documents that an answer was made from."""
    ids = [str(document.pk) for document in documents]
    return {"library": "shelf", "documents": ids, "passages": len(ids), "mode": "hybrid"}


def entered(key: GatewayKey, request: dict[str, Any] = PROMPT, answer: bytes = ANSWER, **columns: Any) -> UsageRecord:
    """A request of now that is in the ledger together with its content."""
    record = spooled(key, **{"created_at": timezone.now(), **columns})
    ledger.move(line(record) + content.line(record, vault.seal_bytes(content.packed(request, answer))))
    return UsageRecord.objects.get(pk=record["id"])


def shown(api: ApiClient, record: UsageRecord) -> Any:
    answer = api.get(f"/api/analytics/requests/{record.pk}")
    assert answer.status == 200
    return answer.json["content"]


def test_a_workspace_keeps_nothing_unless_it_says_so(api: ApiClient, workspace: Workspace) -> None:
    found = api.get(f"/api/workspaces/{workspace.pk}").json
    assert (found["store_content"], found["content_retention_days"]) == (False, 30)


def test_an_owner_chooses_it_and_the_trail_says_so(api: ApiClient, workspace: Workspace) -> None:
    changed = api.patch(f"/api/workspaces/{workspace.pk}", {"store_content": True, "content_retention_days": 7})
    assert changed.status == 200
    assert (changed.json["store_content"], changed.json["content_retention_days"]) == (True, 7)
    assert changed.json["name"] == workspace.name
    entry = AuditEntry.objects.get(action="workspace.changed")
    assert (entry.old, entry.new) == (
        {"store_content": False, "content_retention_days": 30},
        {"store_content": True, "content_retention_days": 7},
    )


def test_it_takes_an_owner(admin: Caller, workspace: Workspace, stranger: Caller) -> None:
    path, choice = f"/api/workspaces/{workspace.pk}", {"store_content": True}
    assert ApiClient.of(admin).patch(path, choice).status == 403
    assert ApiClient.of(stranger).patch(path, choice).status == 404
    workspace.refresh_from_db()
    assert workspace.store_content is False


@pytest.mark.parametrize(
    "choice",
    [{"store_content": "yes"}, {"store_content": None}, {"content_retention_days": 0}, {"content_retention_days": 3651},
     {"content_retention_days": 1.5}],
)  # fmt: skip
def test_a_choice_that_is_none_is_refused(api: ApiClient, workspace: Workspace, choice: dict[str, Any]) -> None:
    refused = api.patch(f"/api/workspaces/{workspace.pk}", choice)
    assert refused.status == 400
    assert next(iter(choice)) in refused.error["message"]


def test_members_read_it_and_viewers_do_not(
    keeping: Workspace, key: GatewayKey, member: Caller, viewer: Caller, stranger: Caller
) -> None:
    record = entered(key)
    assert shown(ApiClient.of(member), record) == {
        "request": PROMPT, "answer": orjson.loads(ANSWER), "text": "the private answer", "note": "",
    }  # fmt: skip
    assert shown(ApiClient.of(viewer), record) is None
    assert ApiClient.of(stranger).get(f"/api/analytics/requests/{record.pk}").status == 404


def test_the_page_shows_it_to_members(keeping: Workspace, key: GatewayKey, member: Caller, viewer: Caller) -> None:
    record = entered(key, {"messages": "<script>alert(1)</script>"})
    page = Browser(member).get("request", record.pk)
    assert "the private answer" in page
    assert "<script>alert" not in page.html
    assert page.inline == []
    assert "the private answer" not in Browser(viewer).get("request", record.pk)


def test_a_stream_is_shown_as_what_the_model_wrote(api: ApiClient, keeping: Workspace, key: GatewayKey) -> None:
    found = shown(api, entered(key, answer=STREAM))
    assert (found["answer"], found["text"]) == (None, "the private answer")


def test_without_an_answer_the_request_is_there(api: ApiClient, keeping: Workspace, key: GatewayKey) -> None:
    found = shown(api, entered(key, answer=b"", status=503))
    assert (found["request"], found["answer"], found["text"], found["note"]) == (PROMPT, None, "", "")


def test_what_is_too_large_is_left_out_and_said_to_be(api: ApiClient, keeping: Workspace, key: GatewayKey) -> None:
    large = {"messages": [{"role": "user", "content": "x" * content.MAX_BYTES}]}
    found = shown(api, entered(key, large, b'"' + b"y" * content.MAX_BYTES + b'"'))
    assert (found["request"], found["text"]) == (None, "")
    assert found["note"] == "Left out, as larger than 1 MB: request and answer."


def test_disk_and_database_have_ciphertext_alone(keeping: Workspace, key: GatewayKey) -> None:
    record = spooled(key)
    spooled_line = content.line(record, vault.seal_bytes(content.packed(PROMPT, ANSWER)))
    assert b"private" not in spooled_line
    assert spooled_line.startswith(content.MARK)
    ledger.move(line(record) + spooled_line)
    assert b"private" not in bytes(RequestContent.objects.get().sealed)


def test_it_is_entered_once_and_apart_from_what_is_refused(
    keeping: Workspace, key: GatewayKey, settings: Any, tmp_path: Any
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    records = [spooled(key) for _ in range(3)]
    lines = [content.line(record, vault.seal_bytes(content.packed(PROMPT, ANSWER))) for record in records]
    gone = content.line({**spooled(key), "workspace_id": str(uuid7())}, b"xx")
    segment = b"".join(map(line, records)) + b"".join(lines) + gone + lines[0] + b'{"content":'
    for _ in range(2):
        ledger.move(segment)
    assert RequestContent.objects.count() == 3
    assert UsageRecord.objects.count() == 3
    assert (tmp_path / "spool" / "refused.txt").read_bytes().splitlines() == [gone.rstrip(), b'{"content":'] * 2


def test_it_is_gone_when_its_time_is_over(
    api: ApiClient, keeping: Workspace, key: GatewayKey, connection: "psycopg.Connection[Any]"
) -> None:
    keeping.content_retention_days = 2
    keeping.save()
    old = entered(key, created_at=timezone.now() - timedelta(days=2, minutes=1))
    young = entered(key, created_at=timezone.now() - timedelta(days=1, hours=23))
    assert shown(api, old) is None
    assert shown(api, young) is not None
    assert content.delete_expired(connection) == 1
    assert [row.pk for row in RequestContent.objects.all()] == [young.pk]
    assert UsageRecord.objects.count() == 2


def test_it_is_gone_with_the_first_document_that_it_quotes(
    api: ApiClient, keeping: Workspace, key: GatewayKey, documents: list[Document]
) -> None:
    first, second = documents
    both, one, none = (entered(key, grounding=of) for of in (made_from(first, second), made_from(second), None))
    assert shown(api, both) is not None
    Document.objects.filter(pk=first.pk).delete()  # nobody has tidied up yet
    assert shown(api, both) is None
    assert None not in (shown(api, one), shown(api, none))
    # A request that was under way meanwhile, or waited in the spool.
    late = entered(key, grounding=made_from(first))
    assert late.grounding == made_from(first)
    assert not RequestContent.objects.filter(pk=late.pk).exists()


def test_it_is_deleted_and_what_quotes_other_documents_stays(
    owner: Caller, keeping: Workspace, key: GatewayKey, documents: list[Document],
    connection: "psycopg.Connection[Any]",
) -> None:  # fmt: skip
    first, second = documents
    _, one, none = (entered(key, grounding=of).pk for of in (made_from(first, second), made_from(second), None))

    def left() -> set[Any]:
        return set(RequestContent.objects.values_list("pk", flat=True))

    # A new version of a document is announced, too.
    assert content.delete_quoting(connection, keeping.pk, [first.pk]) == 0
    rag.delete_document(Actor.of(owner), first)
    assert left() == {one, none}
    rag.delete_library(Actor.of(owner), second.library)
    assert left() == {none}


def test_turned_off_it_is_not_read_and_deleted(
    api: ApiClient, keeping: Workspace, key: GatewayKey, connection: "psycopg.Connection[Any]", monkeypatch: Any
) -> None:
    records = [entered(key) for _ in range(3)]
    keeping.store_content = False
    keeping.save()
    assert shown(api, records[0]) is None
    monkeypatch.setattr(content, "BATCH", 2)
    assert content.delete_expired(connection) == 3
    assert not RequestContent.objects.exists()


def test_the_oldest_go_where_a_workspace_keeps_too_much(
    keeping: Workspace, key: GatewayKey, stranger: Caller, connection: "psycopg.Connection[Any]", monkeypatch: Any
) -> None:
    others = entered(GatewayKey.objects.create(workspace=stranger.workspace, name="theirs"))
    now = timezone.now()
    kept = [entered(key, created_at=now - timedelta(minutes=minutes)).pk for minutes in range(5)]
    size = len(RequestContent.objects.get(pk=kept[0]).sealed)
    monkeypatch.setattr(content, "BATCH", 2)
    assert content.delete_beyond(connection, 5 * size + 50) == 0
    assert content.delete_beyond(connection, 2 * size + 50) == 3
    assert set(RequestContent.objects.values_list("pk", flat=True)) == {others.pk, *kept[:2]}


def test_a_new_encryption_key_reads_and_renews_it(
    api: ApiClient, keeping: Workspace, key: GatewayKey, settings: Any
) -> None:
    record = entered(key)
    old, new = settings.ENCRYPTION_KEYS, (new_encryption_key(),)
    settings.ENCRYPTION_KEYS = new + old
    assert shown(api, record)["text"] == "the private answer"
    vault.rotate()
    settings.ENCRYPTION_KEYS = new
    assert shown(api, record)["text"] == "the private answer"


def test_without_its_key_it_is_said_to_be_unreadable(
    api: ApiClient, keeping: Workspace, key: GatewayKey, settings: Any
) -> None:
    record = entered(key)
    settings.ENCRYPTION_KEYS = (new_encryption_key(),)
    assert shown(api, record)["note"] == "It was encrypted with a key that is no longer part of ENCRYPTION_KEY."


def test_a_workspace_takes_its_contents_along(keeping: Workspace, key: GatewayKey) -> None:
    entered(key)
    with django_connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics_requestcontent")
        assert cursor.fetchone() == (1,)
    UsageRecord.objects.all().delete()
    keeping.delete()
    assert not RequestContent.objects.exists()
