"""/api/workspaces and their members."""

import uuid
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import services, workspaces
from accounts.access import Caller
from accounts.models import Membership, Role, User, Workspace
from tests.accounts.threads import at_once
from tests.api_client import PASSWORD, ApiClient

WORKSPACES = "/api/workspaces"


def path(workspace: Workspace, *rest: object) -> str:
    return "/".join(map(str, (WORKSPACES, workspace.pk, *rest)))


def membership(caller: Caller) -> Membership:
    return Membership.objects.get(user=caller.user, workspace=caller.workspace)


def role_of(caller: Caller) -> str | None:
    row = Membership.objects.filter(user=caller.user, workspace=caller.workspace).first()
    return row.role if row else None


def test_creating_listing_renaming(api: ApiClient, workspace: Workspace) -> None:
    made = api.post(WORKSPACES, name=" Research ")
    assert (made.status, made.json["name"], made.json["role"]) == (201, "Research", "owner")

    renamed = api.patch(f"{WORKSPACES}/{made.json['id']}", name="R&D")
    assert (renamed.status, renamed.json) == (200, {**made.json, "name": "R&D"})
    assert api.get(f"{WORKSPACES}/{made.json['id']}").json == renamed.json

    listed = api.get(WORKSPACES)
    assert [row["name"] for row in listed.json["data"]] == ["Olga Owner's workspace", "R&D"]
    assert listed.json["next_cursor"] is None


def test_a_list_is_read_page_by_page(owner: Caller, api: ApiClient) -> None:
    for number in range(4):
        workspaces.create_workspace(owner.user, f"w{number}")

    first = api.get(WORKSPACES, limit=3).json
    second = api.get(WORKSPACES, limit=3, cursor=first["next_cursor"]).json

    assert [row["name"] for row in first["data"][1:] + second["data"]] == ["w0", "w1", "w2", "w3"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "\0"}, "cursor"),
    ],
)
def test_bad_pages_are_named(api: ApiClient, query: dict[str, Any], param: str) -> None:
    answer = api.get(WORKSPACES, **query)

    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize("name", ["", "   ", "a" * 121, "a\0", 7, None])
def test_bad_names(api: ApiClient, workspace: Workspace, name: Any) -> None:
    for answer in (api.post(WORKSPACES, name=name), api.patch(path(workspace), name=name)):
        assert (answer.status, answer.error["param"]) == (400, "name")


def test_there_is_an_end_to_how_many(owner: Caller, api: ApiClient) -> None:
    made = [Workspace(name=str(number)) for number in range(workspaces.MAX_WORKSPACES - 1)]
    Workspace.objects.bulk_create(made)
    Membership.objects.bulk_create(Membership(user=owner.user, workspace=one, role=Role.OWNER) for one in made)

    assert api.post(WORKSPACES, name="one more").status == 409


def test_for_a_stranger_it_does_not_exist(workspace: Workspace, viewer: Caller, stranger: Caller) -> None:
    other = ApiClient.of(stranger)
    member_path = path(workspace, "members", membership(viewer).pk)

    answers = [
        other.get(path(workspace)),
        other.patch(path(workspace), name="mine"),
        other.get(path(workspace, "members")),
        other.post(path(workspace, "members"), email=stranger.user.email, role="owner"),
        other.patch(member_path, role="viewer"),
        other.delete(member_path),
    ]
    unknown = other.get(f"{WORKSPACES}/{uuid.uuid4()}")

    assert {answer.status for answer in answers} == {404}
    assert answers[0].text == unknown.text


def test_a_member_of_another_workspace_cannot_be_reached_through_ones_own(viewer: Caller, stranger: Caller) -> None:
    reach = path(stranger.workspace, "members", membership(viewer).pk)
    other = ApiClient.of(stranger)

    assert [other.patch(reach, role="owner").status, other.delete(reach).status] == [404, 404]
    assert role_of(viewer) == "viewer"


@pytest.mark.parametrize("id", ["x", "1", "%00", "..", "00000000-0000-0000-0000-00000000000g", "é"])
def test_what_is_no_id_does_not_exist(api: ApiClient, workspace: Workspace, id: str) -> None:
    assert api.get(f"{WORKSPACES}/{id}/members").status == 404
    assert api.delete(path(workspace, "members", id)).status == 404


def test_without_credentials(anonymous: ApiClient, workspace: Workspace) -> None:
    assert [anonymous.get(at).status for at in (WORKSPACES, path(workspace), path(workspace, "members"))] == 3 * [401]


# --- Members -------------------------------------------------------------------------------------


def test_adding_changing_removing_a_member(api: ApiClient, workspace: Workspace, stranger: Caller) -> None:
    added = api.post(path(workspace, "members"), email="STRANGER@example.com", role="viewer")
    assert (added.status, added.json["role"]) == (201, "viewer")
    assert added.json["user"] == {
        "id": str(stranger.user.pk), "email": "stranger@example.com", "name": "Sam Stranger",
    }  # fmt: skip
    theirs = ApiClient.of(Caller(stranger.user, workspace, Role.VIEWER))
    assert [row["role"] for row in theirs.get(WORKSPACES).json["data"]] == ["owner", "viewer"]

    at = path(workspace, "members", added.json["id"])
    changed = api.patch(at, role="admin")
    assert (changed.status, changed.json) == (200, {**added.json, "role": "admin"})
    listed = api.get(path(workspace, "members")).json["data"]
    assert [row["user"]["email"] for row in listed] == ["owner@example.com", "stranger@example.com"]

    assert api.delete(at).status == 204
    assert theirs.get(path(workspace)).status == 404
    assert api.delete(at).status == 404


def test_nobody_has_that_address(api: ApiClient, workspace: Workspace) -> None:
    answer = api.post(path(workspace, "members"), email="nobody@example.com", role="member")

    assert (answer.status, answer.error["param"]) == (404, "email")


def test_trying_many_addresses_is_throttled(api: ApiClient, workspace: Workspace, settings: Settings) -> None:
    settings.UNKNOWN_MEMBERS_PER_USER = (3, 10**9)

    answers = [api.post(path(workspace, "members"), email=f"{n}@example.com", role="member") for n in range(4)]

    assert [answer.status for answer in answers] == [404, 404, 404, 429]


def test_a_member_twice(api: ApiClient, workspace: Workspace, viewer: Caller) -> None:
    answer = api.post(path(workspace, "members"), email=viewer.user.email, role="admin")

    assert (answer.status, answer.error["param"]) == (409, "email")
    assert role_of(viewer) == "viewer"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "email"),
        ({"email": "a\0b", "role": "member"}, "email"),
        ({"email": "a@example.com", "role": "Owner"}, "role"),
        ({"email": "a@example.com", "role": "god"}, "role"),
        ({"email": "a@example.com", "role": None}, "role"),
        ({"email": "a@example.com", "role": ["member"]}, "role"),
    ],
)
def test_bad_members(api: ApiClient, workspace: Workspace, fields: dict[str, Any], param: str) -> None:
    answer = api.post(path(workspace, "members"), body=fields)

    assert (answer.status, answer.error["param"]) == (400, param)


MAY_MANAGE = {Role.OWNER: True, Role.ADMIN: True, Role.MEMBER: False, Role.VIEWER: False}


@pytest.mark.parametrize(("role", "may"), MAY_MANAGE.items())
def test_who_may_manage_members(
    request: pytest.FixtureRequest, workspace: Workspace, stranger: Caller, role: Role, may: bool
) -> None:
    client = ApiClient.of(request.getfixturevalue(role.value))

    added = client.post(path(workspace, "members"), email=stranger.user.email, role="viewer")
    assert added.status == (201 if may else 403)
    if not may:
        assert "takes the role admin; you are" in added.error["message"]
        Membership.objects.create(user=stranger.user, workspace=workspace, role=Role.VIEWER)
    target = Membership.objects.get(user=stranger.user, workspace=workspace)
    assert client.patch(path(workspace, "members", target.pk), role="member").status == (200 if may else 403)
    assert client.delete(path(workspace, "members", target.pk)).status == (204 if may else 403)
    assert client.get(path(workspace, "members")).status == 200


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER, Role.VIEWER])
def test_only_an_owner_renames_and_makes_and_unmakes_owners(
    request: pytest.FixtureRequest, owner: Caller, workspace: Workspace, stranger: Caller, role: Role
) -> None:
    caller = request.getfixturevalue(role.value)
    client = ApiClient.of(caller)

    answers = [
        client.patch(path(workspace), name="mine"),
        client.post(path(workspace, "members"), email=stranger.user.email, role="owner"),
        client.patch(path(workspace, "members", membership(caller).pk), role="owner"),
        client.patch(path(workspace, "members", membership(owner).pk), role="viewer"),
        client.delete(path(workspace, "members", membership(owner).pk)),
    ]

    assert [answer.status for answer in answers] == 5 * [403]
    assert (role_of(owner), role_of(caller)) == ("owner", role)


def test_everybody_may_leave(workspace: Workspace, viewer: Caller) -> None:
    assert ApiClient.of(viewer).delete(path(workspace, "members", membership(viewer).pk)).status == 204
    assert role_of(viewer) is None


def test_the_last_owner_stays(api: ApiClient, owner: Caller, workspace: Workspace, admin: Caller) -> None:
    own = path(workspace, "members", membership(owner).pk)

    refused = [api.delete(own), api.patch(own, role="admin")]
    assert [(answer.status, answer.error["code"]) for answer in refused] == 2 * [(409, "conflict")]
    assert api.patch(own, role="owner").status == 200

    api.patch(path(workspace, "members", membership(admin).pk), role="owner")
    assert api.delete(own).status == 204


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_leave_one() -> None:
    first, workspace = services.sign_up("first@example.com", PASSWORD)
    second, _ = services.sign_up("second@example.com", PASSWORD)
    Membership.objects.create(user=second, workspace=workspace, role=Role.OWNER)

    def remove(actor: User, other: User) -> int:
        client = ApiClient.of(Caller(actor, workspace, Role.OWNER))
        target = Membership.objects.get(user=other, workspace=workspace)
        return client.delete(path(workspace, "members", target.pk)).status

    statuses = at_once(lambda: remove(first, second), lambda: remove(second, first))

    assert statuses.count(204) == 1
    assert Membership.objects.filter(workspace=workspace, role=Role.OWNER).count() == 1


def test_the_list_of_members_takes_as_many_queries_as_its_first_row(
    api: ApiClient, workspace: Workspace, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        user = User.objects.create(email=f"{number}@example.com")
        Membership.objects.create(user=user, workspace=workspace, role=Role.VIEWER)

    # Who asks, their role, the members, and what all of those spent.
    with django_assert_num_queries(4):
        assert len(api.get(path(workspace, "members")).json["data"]) == 21
