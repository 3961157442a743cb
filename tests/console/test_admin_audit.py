"""What staff do in Django's admin stands in the audit trail."""

import pytest
from django.urls import reverse

from accounts.access import Caller
from accounts.models import AuditEntry, Membership, Role, User, Workspace
from keys import services
from keys.models import GatewayKey, Provider
from tests.console.browser import Browser
from tests.console.test_admin import provider  # noqa: F401  (a fixture)

NEW_PASSWORD = "Another-Horse-8-Battery"


def newest() -> AuditEntry:
    return AuditEntry.objects.latest("created_at", "id")


def test_a_change_is_entered_with_who_and_what(browser: Browser, owner: Caller, provider: Provider) -> None:  # noqa: F811
    browser.post("admin:keys_provider_change", provider.pk, enabled="on")

    entry = newest()
    assert (entry.action, entry.via, entry.actor) == ("provider.changed", "admin", owner.user.email)
    assert (entry.workspace, entry.object_id) == (owner.workspace, str(provider.pk))
    assert (entry.old, entry.new) == ({"enabled": False}, {"enabled": True})


@pytest.mark.parametrize("limits", [{"budget_usd": 5}, {}])
@pytest.mark.parametrize("deleted", ["user", "users", "membership", "workspace"])
def test_the_keys_of_a_limited_member_go_with_them(
    browser: Browser, owner: Caller, member: Caller, deleted: str, limits: dict[str, int]
) -> None:
    """Nothing would limit them any more."""
    row = Membership.objects.get(user=member.user, workspace=owner.workspace)
    Membership.objects.filter(pk=row.pk).update(**limits)
    key, _ = services.create_key(member, {"name": "theirs"})
    Workspace.objects.exclude(pk=owner.workspace.pk).delete()  # their own, which would be left without an owner

    done = {
        "user": lambda: browser.post("admin:accounts_user_delete", member.user.pk, post="yes"),
        "users": lambda: browser.post(
            "admin:accounts_user_changelist", action="delete_selected", _selected_action=member.user.pk, post="yes"
        ),
        "membership": lambda: browser.post("admin:accounts_membership_delete", row.pk, post="yes"),
        "workspace": lambda: browser.post("admin:accounts_workspace_delete", owner.workspace.pk, post="yes"),
    }[deleted]()

    assert done.status == 302
    revoked = AuditEntry.objects.filter(action="key.revoked")
    if deleted == "workspace":
        assert not GatewayKey.objects.filter(pk=key.pk).exists()
        assert not revoked, "they are gone, not revoked"
        return
    key.refresh_from_db()
    assert (key.revoked_at is not None) == bool(limits)
    assert [(entry.actor, entry.workspace, entry.object_id) for entry in revoked] == [
        (owner.user.email, owner.workspace, str(key.pk))
    ] * bool(limits)


def test_what_is_deleted_is_entered(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    browser.post("admin:keys_gatewaykey_delete", key.pk, post="yes")
    assert (newest().action, newest().object_name, newest().workspace) == ("key.removed", "chatbot", owner.workspace)

    made = Browser(owner).post("gateway-key-new", name="second", scopes=["inference"])
    assert made.status == 200
    second = GatewayKey.objects.get()
    browser.post("admin:keys_gatewaykey_changelist", action="delete_selected", _selected_action=second.pk, post="yes")
    assert (newest().action, newest().object_name) == ("key.removed", "second")
    assert newest().old is not None


def test_members_of_a_workspace_are_entered_one_by_one(browser: Browser, owner: Caller, stranger: Caller) -> None:
    own = Membership.objects.get(user=owner.user)
    form = {
        "name": owner.workspace.name, "memberships-TOTAL_FORMS": "2", "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": own.pk, "memberships-0-workspace": owner.workspace.pk, "memberships-0-user": owner.user.pk,
        "memberships-0-role": "admin", "memberships-1-workspace": owner.workspace.pk,
        "memberships-1-user": stranger.user.pk, "memberships-1-role": "owner",
    }  # fmt: skip

    page = browser.post("admin:accounts_workspace_change", owner.workspace.pk, **form)

    assert page.status == 302, page
    added, changed = AuditEntry.objects.filter(via="admin").order_by("action")
    assert (added.action, added.object_name) == ("member.added", stranger.user.email)
    assert (changed.action, changed.old, changed.new) == ("member.changed", {"role": "owner"}, {"role": "admin"})
    assert Membership.objects.get(pk=own.pk).role == Role.ADMIN


def test_a_new_password_is_entered_and_not_shown(browser: Browser, stranger: Caller) -> None:
    where = reverse("admin:auth_user_password_change", args=[stranger.user.pk])
    answer = browser.client.post(
        where, {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    )

    assert answer.status_code == 302
    assert (newest().action, newest().object_name, newest().workspace) == (
        "user.password_changed", stranger.user.email, None,
    )  # fmt: skip
    assert User.objects.get(pk=stranger.user.pk).check_password(NEW_PASSWORD)
    assert NEW_PASSWORD not in str(list(AuditEntry.objects.values()))
    assert "pbkdf2" not in str(list(AuditEntry.objects.values()))


def test_the_trail_is_read_and_not_written(browser: Browser, key: GatewayKey) -> None:
    assert "key.created" in browser.get("admin:accounts_auditentry_changelist")
    assert browser.get("admin:accounts_auditentry_change", newest().pk).status == 200
    assert browser.post("admin:accounts_auditentry_delete", newest().pk, post="yes").status == 403
    assert browser.get("admin:accounts_auditentry_add").status == 403
