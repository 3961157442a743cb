"""Django's admin: for staff alone, without secrets, and never counting a large table."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.access import Caller
from analytics.admin import UsageRecordAdmin
from analytics.models import UsageRecord
from gateway_project.lib import admin as large
from keys import services
from keys.models import GatewayKey, Provider
from tests.analytics.ledger import record
from tests.console.browser import Browser, Page

SECRET = "sk-stored-0123456789"
LISTS = ["accounts_user", "accounts_workspace", "accounts_membership", "keys_gatewaykey", "keys_provider",
         "analytics_usagerecord"]  # fmt: skip


@pytest.fixture
def provider(owner: Caller) -> Provider:
    return services.create_provider(owner, {"kind": "openai", "name": "cloud", "api_key": SECRET, "enabled": False})


@pytest.mark.parametrize("model", LISTS)
def test_lists_are_for_staff(
    browser: Browser, stranger: Caller, provider: Provider, key: GatewayKey, model: str
) -> None:
    name = f"admin:{model}_changelist"

    page = browser.get(name)

    assert page.status == 200
    assert page.inline == []
    assert SECRET not in page.html
    assert Browser(stranger).get(name).status == 302


def test_a_provider_shows_and_takes_no_secret(browser: Browser, provider: Provider) -> None:
    page = browser.get("admin:keys_provider_change", provider.pk)

    assert page.status == 200
    assert "6789" in page
    assert SECRET not in page.html
    assert 'name="secret' not in page.html
    browser.post("admin:keys_provider_change", provider.pk, enabled="on", base_url="http://elsewhere", secret_hint="x")
    provider.refresh_from_db()
    assert (provider.enabled, provider.base_url, provider.secret_hint) == (True, "", "6789")


def test_a_key_shows_the_ends_of_its_secret(browser: Browser, owner: Caller) -> None:
    key, secret = services.create_key(owner, {"name": "ci"})

    page = browser.get("admin:keys_gatewaykey_change", key.pk)

    assert secret[-4:] in page
    assert secret not in page.html
    assert bytes(key.secrets.get().digest).hex() not in page.html


def test_requests_can_only_be_looked_at(browser: Browser, owner: Caller) -> None:
    row = record(owner.workspace)

    assert browser.get("admin:analytics_usagerecord_change", row.pk).status == 200
    assert browser.post("admin:analytics_usagerecord_change", row.pk, status=500).status == 403
    assert browser.post("admin:analytics_usagerecord_delete", row.pk, post="yes").status == 403
    assert browser.get("admin:analytics_usagerecord_add").status == 403


def test_a_request_is_found_by_its_id(browser: Browser, owner: Caller) -> None:
    row, other = record(owner.workspace), record(owner.workspace)

    found = browser.get("admin:analytics_usagerecord_changelist", q=f" {row.pk} ")

    assert str(row.pk) in found
    assert str(other.pk) not in found
    assert "0 usage records" in browser.get("admin:analytics_usagerecord_changelist", q="no id")


def test_a_large_table_is_estimated(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "EXACT_UP_TO", 5)
    for _ in range(12):
        record(owner.workspace)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE analytics_usagerecord")

    with CaptureQueriesContext(connection) as queries:
        estimate = large.EstimatingPaginator(UsageRecord.objects.all(), 50).count
        searched = large.EstimatingPaginator(UsageRecord.objects.filter(status=200), 50).count

    assert (estimate, searched) == (12, 5)
    assert all("LIMIT 5" in query["sql"] for query in queries if "COUNT" in query["sql"])


def test_no_list_counts_everything(browser: Browser, owner: Caller) -> None:
    record(owner.workspace)

    with CaptureQueriesContext(connection) as queries:
        browser.get("admin:analytics_usagerecord_changelist")

    counts = [query["sql"] for query in queries if "COUNT" in query["sql"]]
    assert counts
    assert all("LIMIT" in sql for sql in counts)
    assert UsageRecordAdmin.show_full_result_count is False


def test_a_user_can_be_added(browser: Browser) -> None:
    password = "Correct-Horse-7-Battery"

    page = browser.post(
        "admin:accounts_user_add", email="new@example.com", name="New", usable_password="true",
        password1=password, password2=password,
    )  # fmt: skip

    assert page.status == 302, page
    assert Page(browser.client.get(reverse("admin:accounts_user_changelist"))).html.count("new@example.com") >= 1
