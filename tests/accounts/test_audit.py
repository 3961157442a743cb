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


# --- /api/audit ----------------------------------------------------------------------------------


def test_the_api_shows_the_trail_newest_first(api: ApiClient, owner: Caller) -> None:
    made = api.post("/api/keys/gateway", name="ci", budget_usd="5").json
    api.patch(f"/api/keys/gateway/{made['id']}", budget_usd="7.5", budget_period="month")

    changed, created = api.get("/api/audit", object=made["id"]).json["data"]

    assert (changed["action"], changed["object"]) == ("key.changed", {"kind": "key", "id": made["id"], "name": "ci"})
    assert changed["old"] == {"budget_usd": "5", "budget_period": "total"}
    assert changed["new"] == {"budget_usd": "7.5", "budget_period": "month"}
    assert changed["actor"] == {"id": str(owner.user.pk), "email": owner.user.email}
    assert (changed["via"], changed["address"]) == ("api", "127.0.0.1")
    assert (created["old"], created["new"]["name"], created["new"]["budget_usd"]) == (None, "ci", "5")
    assert made["key"] not in str(created)
    assert created["new"]["secret"] == f"{made['prefix']}…{made['last4']}"


def test_the_trail_is_filtered(api: ApiClient, owner: Caller, admin: Caller) -> None:
    key = api.post("/api/keys/gateway", name="ci").json
    ApiClient.of(admin).post("/api/keys/gateway", name="theirs")
    api.post(f"/api/keys/gateway/{key['id']}/rotate")
    audit.record(None, "provider.removed", "gone", workspace=owner.workspace)

    def found(**filters: str) -> list[str]:
        return [row["action"] for row in api.get("/api/audit", **filters).json["data"]]

    assert found(action="key") == ["key.rotated", "key.created", "key.created"]
    assert found(action="key.created", actor=admin.user.email.upper()) == ["key.created"]
    assert found(actor=str(owner.user.pk)) == ["key.rotated", "key.created", "workspace.created"]
    assert found(actor="system") == ["provider.removed"]
    assert found(object=key["id"]) == ["key.rotated", "key.created"]
    assert found(object="ci", to="2020-01-01") == found(object="ci", **{"from": "2999-01-01"}) == []
    assert found(action="key.renamed") == found(actor="nobody@example.com") == []


@pytest.mark.parametrize("action", ["nope", "ke", ".created", "keys.created"])
def test_an_action_on_no_kind_of_object_is_refused(api: ApiClient, action: str) -> None:
    answer = api.get("/api/audit", action=action)
    assert (answer.status, answer.json["error"]["param"]) == (400, "action")
    assert "key, provider, policy" in answer.json["error"]["message"]


def test_the_trail_is_read_page_by_page(api: ApiClient) -> None:
    for number in range(3):
        api.post("/api/keys/gateway", name=str(number))

    first = api.get("/api/audit", limit=2, action="key").json
    second = api.get("/api/audit", limit=2, action="key", cursor=first["next_cursor"]).json

    assert [row["object"]["name"] for row in first["data"] + second["data"]] == ["2", "1", "0"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "x"}, "to"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "from"),
        ({"actor": "a\0"}, "actor"),
        ({"object": "x" * 421}, "object"),
        ({"limit": "0"}, "limit"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(api: ApiClient, query: dict[str, str], param: str) -> None:
    answer = api.get("/api/audit", **query)

    assert (answer.status, answer.error["param"]) == (400, param)


def test_admins_read_it_and_nobody_reads_anothers(
    admin: Caller, member: Caller, viewer: Caller, stranger: Caller, anonymous: ApiClient
) -> None:
    assert ApiClient.of(admin).get("/api/audit").json["data"]
    for caller in (member, viewer):
        assert ApiClient.of(caller).get("/api/audit").status == 403
    assert {row["actor"]["email"] for row in ApiClient.of(stranger).get("/api/audit").json["data"]} == {
        stranger.user.email
    }
    assert anonymous.get("/api/audit").status == 401
    assert ApiClient.of(admin).post("/api/audit").status == 405
