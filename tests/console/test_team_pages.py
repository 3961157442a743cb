"""Members, roles, the workspace's name, and more than one workspace."""

from django.urls import reverse

from accounts.access import Caller
from accounts.models import Membership, Role, Workspace
from tests.conftest import MakeUser
from tests.console.browser import Browser
from tests.console.conftest import queries_of


def membership(caller: Caller) -> Membership:
    return Membership.objects.get(user=caller.user, workspace=caller.workspace)


def test_an_owner_adds_changes_and_removes_a_member(browser: Browser, owner: Caller, stranger: Caller) -> None:
    page = browser.post("member-add", email="stranger@example.com", role="member")
    assert "stranger@example.com is now member here." in browser.follow(page)
    row = Membership.objects.get(user=stranger.user, workspace=owner.workspace)

    page = browser.post("member-role", row.pk, role="viewer", htmx=True)
    assert page.location == reverse("team")
    row.refresh_from_db()
    assert row.role == Role.VIEWER

    asked = browser.get("member-remove", row.pk)
    assert "Remove stranger@example.com?" in asked
    assert "Keys that they created keep working" in asked
    Membership.objects.filter(pk=row.pk).update(rate_limit_streams=1)
    assert "Keys that they created are revoked" in browser.get("member-remove", row.pk)
    browser.post("member-remove", row.pk)
    assert not Membership.objects.filter(pk=row.pk).exists()


def test_an_unknown_address_is_named_at_its_field(browser: Browser) -> None:
    page = browser.post("member-add", email="nobody@example.com", role="member", htmx=True)

    assert page.status == 422
    assert "Nobody has an account with this address" in page
    assert "<html" not in page.html


def test_the_last_owner_stays(browser: Browser, owner: Caller) -> None:
    own = membership(owner)

    page = browser.post("member-role", own.pk, role="viewer", htmx=True)

    assert page.status == 204
    assert "keeps at least one owner" in page.headers["HX-Trigger"]
    assert "keeps at least one owner" in browser.follow(browser.post("member-remove", own.pk))
    assert "Leave…" not in browser.get("team")


def test_a_role_that_is_none_is_refused(browser: Browser, admin: Caller) -> None:
    assert browser.post("member-role", membership(admin).pk, role="emperor").status == 422


def test_an_admin_makes_no_owners(admin: Caller, member: Caller) -> None:
    browser = Browser(admin)

    assert "Owner: also renames" not in browser.get("team")
    assert browser.post("member-add", email="member@team.example.com", role="owner").status == 422
    assert browser.post("member-role", membership(member).pk, role="owner").status == 403


def test_a_viewer_only_looks(viewer: Caller, member: Caller) -> None:
    browser = Browser(viewer)

    page = browser.get("team")
    assert "member@team.example.com" in page
    assert "Add a member" not in page
    assert browser.post("member-add", email="x@example.com", role="viewer").status == 403
    assert browser.post("workspace", name="Mine").status == 403
    assert browser.post("member-remove", membership(member).pk).status == 403


def test_everybody_may_leave(viewer: Caller) -> None:
    browser = Browser(viewer)

    page = browser.post("member-remove", membership(viewer).pk)

    assert f"You left {viewer.workspace.name}." in browser.follow(page)


def test_a_strangers_membership_does_not_exist(browser: Browser, stranger: Caller) -> None:
    foreign = membership(stranger)

    assert browser.get("member-remove", foreign.pk).status == 404
    assert browser.post("member-role", foreign.pk, role="viewer").status == 404
    assert browser.get("member-remove", "no-id").status == 404


def test_workspaces_can_be_made_renamed_and_switched(browser: Browser, owner: Caller) -> None:
    made = browser.follow(browser.post("workspace-new", name="Second"))
    assert "You are now in Second." in made

    browser.post("workspace", name="Renamed")
    assert Workspace.objects.filter(name="Renamed").exists()
    assert browser.post("workspace", name=" ", htmx=True).status == 422

    browser.post("switch-workspace", workspace=str(owner.workspace.pk))
    assert owner.workspace.name in browser.get("team")


def test_a_strangers_workspace_cannot_be_switched_to(browser: Browser, stranger: Caller) -> None:
    assert browser.post("switch-workspace", workspace=str(stranger.workspace.pk)).status == 404
    assert browser.post("switch-workspace").status == 404
    assert browser.get("switch-workspace").status == 405


def test_the_team_page_asks_as_often_for_many_members(browser: Browser, owner: Caller, make_user: MakeUser) -> None:
    few = queries_of(lambda: browser.get("team"))
    for number in range(4):
        user = make_user(f"m{number}@example.com").user
        Membership.objects.create(user=user, workspace=owner.workspace, role=Role.MEMBER)

    assert queries_of(lambda: browser.get("team")) == few
