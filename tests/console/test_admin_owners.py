"""Django's admin leaves no workspace without an owner."""

from typing import Any

import pytest

from accounts.access import Caller
from accounts.models import Membership, Role, User, Workspace
from tests.console.browser import Browser


def membership(caller: Caller) -> Membership:
    return Membership.objects.get(user=caller.user, workspace=caller.workspace)


def members(workspace: Workspace, **roles: str) -> dict[str, Any]:
    """The admin's form for a workspace with its members, with `roles` for some, by their e-mail's first part."""
    rows = list(workspace.memberships.select_related("user").order_by("pk"))
    total = {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": len(rows), "name": workspace.name}
    for number, row in enumerate(rows):
        role = roles.get(row.user.email.partition("@")[0], row.role)
        total |= {f"memberships-{number}-{name}": value for name, value in (
            ("id", row.pk), ("workspace", workspace.pk), ("user", row.user_id), ("role", role),
        )}  # fmt: skip
    return total


def test_the_only_owner_cannot_be_deleted(browser: Browser, stranger: Caller) -> None:
    for page in (
        browser.get("admin:accounts_user_delete", stranger.user.pk),
        browser.post("admin:accounts_user_delete", stranger.user.pk, post="yes"),
        browser.get("admin:accounts_membership_delete", membership(stranger).pk),
        browser.post("admin:accounts_user_changelist", action="delete_selected", _selected_action=stranger.user.pk),
        browser.post(
            "admin:accounts_user_changelist", action="delete_selected", _selected_action=stranger.user.pk, post="yes"
        ),
    ):
        assert f"“{stranger.workspace}” has no other owner: make somebody else one first." in page
    assert User.objects.filter(pk=stranger.user.pk).exists()


def test_who_handed_over_can_be_deleted(browser: Browser, owner: Caller, stranger: Caller) -> None:
    Membership.objects.create(user=owner.user, workspace=stranger.workspace, role=Role.OWNER)
    assert browser.post("admin:accounts_user_delete", stranger.user.pk, post="yes").status == 302
    assert not User.objects.filter(pk=stranger.user.pk).exists()


def test_two_owners_cannot_be_deleted_at_once(browser: Browser, owner: Caller, stranger: Caller) -> None:
    shared = Workspace.objects.create(name="Shared")
    for user in (owner.user, stranger.user):
        Membership.objects.create(user=user, workspace=shared, role=Role.OWNER)
    both = [owner.user.pk, stranger.user.pk]
    page = browser.post("admin:accounts_user_changelist", action="delete_selected", _selected_action=both, post="yes")
    assert "“Shared” has no other owner" in page
    assert User.objects.filter(pk__in=both).count() == 2


def test_the_last_owner_keeps_the_role(browser: Browser, stranger: Caller) -> None:
    row = membership(stranger)
    page = browser.post(
        "admin:accounts_membership_change", row.pk, user=row.user_id, workspace=row.workspace_id, role="viewer"
    )
    assert "make somebody else one first" in page
    row.refresh_from_db()
    assert row.role == Role.OWNER


@pytest.mark.parametrize(
    ("changes", "status"), [({"owner": "viewer"}, 200), ({"owner": "viewer", "member": "owner"}, 302)]
)
def test_a_workspace_is_saved_with_an_owner(
    browser: Browser, owner: Caller, member: Caller, changes: dict[str, str], status: int
) -> None:
    page = browser.post("admin:accounts_workspace_change", owner.workspace.pk, **members(owner.workspace, **changes))
    assert page.status == status, page
    assert ("A workspace keeps at least one owner." in page) == (status == 200)
    assert owner.workspace.memberships.filter(role=Role.OWNER).count() == 1


def test_a_workspace_can_be_renamed(browser: Browser, owner: Caller, member: Caller) -> None:
    fields = members(owner.workspace) | {"name": "Renamed"}
    assert browser.post("admin:accounts_workspace_change", owner.workspace.pk, **fields).status == 302
    owner.workspace.refresh_from_db()
    assert owner.workspace.name == "Renamed"
