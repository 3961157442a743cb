"""What staff do in Django's admin stands in the audit trail."""

from django.urls import reverse

from accounts.access import Caller
from accounts.models import AuditEntry, Membership, Role, User
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
