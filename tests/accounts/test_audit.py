"""The audit trail: who changed what, from where, from what to what; it is added to and never changed."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from accounts import audit, services, tokens, workspaces
from accounts.access import Caller
from accounts.models import AuditEntry, Membership, Role
from gateway_project.lib.errors import NotAuthenticated, PermissionDenied
from tests.api_client import PASSWORD, ApiClient


def newest() -> AuditEntry:
    return AuditEntry.objects.latest("created_at", "id")


def test_a_change_is_entered_with_what_differs(owner: Caller) -> None:
    entry = audit.record(
        owner, "workspace.changed", owner.workspace,
        old={"name": "a", "budget_usd": Decimal("1.500"), "kept": [1]},
        new={"name": "b", "budget_usd": None, "kept": [1], "at": datetime(2026, 11, 1, tzinfo=UTC)},
    )  # fmt: skip

    assert entry is not None
    entry.refresh_from_db()
    assert entry.old == {"name": "a", "budget_usd": "1.5", "at": None}
    assert entry.new == {"name": "b", "budget_usd": None, "at": "2026-11-01T00:00:00Z"}
    assert (entry.workspace, entry.actor, entry.actor_id) == (owner.workspace, owner.user.email, owner.user.pk)
    assert (entry.object_id, entry.object_name) == (str(owner.workspace.pk), owner.workspace.name)


def test_what_changes_nothing_is_not_entered(owner: Caller) -> None:
    assert audit.record(owner, "workspace.changed", "x", old={"a": 1}, new={"a": 1}) is None


def test_of_what_is_made_the_empty_is_left_out(owner: Caller) -> None:
    entry = audit.record(owner, "key.created", "x", new={"name": "x", "policy": "", "limit": None, "zero": 0})

    assert entry is not None
    assert (entry.old, entry.new) == (None, {"name": "x", "zero": 0})


@pytest.mark.parametrize("fact", [b"ciphertext", memoryview(b"x"), object()])
def test_what_may_be_a_secret_has_no_place(owner: Caller, fact: object) -> None:
    with pytest.raises(TypeError):
        audit.record(owner, "key.created", "x", new={"secret": fact})


def test_an_action_names_a_kind_of_object(owner: Caller) -> None:
    with pytest.raises(ValueError, match="party"):
        audit.record(owner, "party.held", "x")


def test_the_database_refuses_to_change_it(owner: Caller) -> None:
    audit.record(owner, "key.created", "x")

    for write in (
        lambda: AuditEntry.objects.update(actor="somebody else"),
        lambda: AuditEntry.objects.all().delete(),
        lambda: newest().save(),
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            write()


def test_it_outlives_the_workspace_and_its_people(owner: Caller) -> None:
    entry = audit.record(owner, "key.created", "x")
    assert entry is not None
    id, email = owner.workspace.pk, owner.user.email

    owner.workspace.delete()
    owner.user.delete()

    entry.refresh_from_db()
    assert (entry.workspace_id, entry.actor) == (id, email)


def test_it_tells_from_where(workspace: object, api: ApiClient) -> None:
    api.headers |= {"user-agent": "Browser/1.0 " + "x" * 500}
    answer = api.post("/api/workspaces", name="Second")

    entry = AuditEntry.objects.filter(action="workspace.created").latest("created_at")
    assert (entry.via, entry.address) == ("api", "127.0.0.1")
    assert entry.user_agent.startswith("Browser/1.0 x")
    assert len(entry.user_agent) == 120
    assert entry.request_id == answer.headers["x-request-id"]


def test_without_a_request_it_comes_from_nowhere(owner: Caller) -> None:
    workspaces.rename_workspace(owner, "By a command")

    entry = newest()
    assert (entry.via, entry.address, entry.user_agent, entry.request_id) == ("", "", "", "")


def test_a_change_that_fails_leaves_nothing(member: Caller, owner: Caller) -> None:
    before = AuditEntry.objects.count()
    membership = Membership.objects.get(user=owner.user, workspace=owner.workspace)

    with pytest.raises(PermissionDenied):
        workspaces.change_role(member, str(membership.pk), Role.VIEWER)

    assert AuditEntry.objects.count() == before


def test_accounts_leave_a_trail_of_no_workspace(owner: Caller) -> None:
    services.log_in(owner.user.email, PASSWORD)
    services.change_password(owner.user, PASSWORD, "Another-Horse-8-Battery")
    pair = tokens.start_session(owner.user)
    tokens.refresh(pair.refresh)
    with pytest.raises(NotAuthenticated):
        tokens.refresh(pair.refresh)

    rows = AuditEntry.objects.filter(workspace=None).order_by("created_at", "id")
    assert [row.action for row in rows] == [
        "user.signed_up", "user.logged_in", "user.password_changed", "user.tokens_revoked",
    ]  # fmt: skip
    assert {row.actor for row in rows} == {owner.user.email}
    assert PASSWORD not in str(list(rows.values()))
