"""Events, webhooks and the audit trail in the console."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import audit, events
from accounts.access import Caller
from accounts.models import Event, Membership, Workspace
from keys import services
from keys.models import GatewayKey, Webhook, WebhookDelivery
from keys.webhooks.services import create_webhook
from tests.console.browser import Browser, Page
from tests.console.conftest import queries_of


def near(workspace: Workspace, key: GatewayKey, percent: int = 80) -> Event:
    data = {
        "scope": "key", "id": str(key.pk), "name": key.name, "percent": percent, "period": "month",
        "budget_usd": "10", "spent_usd": "8.5", "renews_at": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    event = events.raise_event(workspace.pk, "budget.threshold", f"x:{percent}", data)
    assert event is not None
    return event


@pytest.fixture
def webhook(owner: Caller) -> Webhook:
    return create_webhook(owner, {"url": "http://localhost:9/hook"})[0]


def unread(page: Page) -> str:
    found = re.search(r'<span class="count"><span class="visually-hidden">unread: </span>([\d+]+)', page.html)
    return found[1] if found else ""


# --- Events --------------------------------------------------------------------------------------


def test_events_are_told_in_words_and_counted_until_seen(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    assert "Nothing happened yet" in browser.get("events")
    for percent in (50, 80, 100):
        near(owner.workspace, key, percent)

    assert unread(browser.get("overview")) == "3"
    page = browser.get("events")

    assert page.text.count("new") >= 3
    for words in ("chatbot has spent 50% of its budget", "chatbot has spent its whole budget"):
        assert words in page
    assert "$8.50 of $10.00 this month. It renews on 1 Dec 2026." in page
    assert reverse("gateway-key", args=[key.pk]) in page.html
    assert page.inline == []
    assert unread(browser.get("overview")) == ""


def test_a_refusal_for_want_of_budget_is_told_with_its_figures(browser: Browser, owner: Caller) -> None:
    data = {
        "scope": "user", "id": "x", "name": "Ann", "period": "day", "limit_usd": "0.001", "spent_usd": "0.000727",
        "reserved_usd": "0", "needed_usd": "0.0004", "renews_at": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    assert events.raise_event(owner.workspace.pk, "budget.refused", "x:refused", data)
    page = browser.get("events")

    assert "A request of Ann was refused: it did not fit in their budget" in page
    assert "Of $0.001 today, $0.000727 was spent and $0 reserved by requests under way" in page
    assert "this one could have cost $0.0004. It renews on 1 Dec 2026." in page
    assert reverse("team") in page.html


def test_many_unread_events_are_not_counted_out(browser: Browser, workspace: Workspace) -> None:
    Event.objects.bulk_create(
        Event(workspace=workspace, kind="webhook.disabled", once_key=str(n), data={"webhook_id": "x"})
        for n in range(101)
    )
    assert unread(browser.get("overview")) == "99+"


def test_each_person_has_seen_what_they_have_seen(owner: Caller, viewer: Caller, key: GatewayKey) -> None:
    near(owner.workspace, key)
    Browser(owner).get("events")

    assert unread(Browser(viewer).get("overview")) == "1"
    assert Membership.objects.get(user=viewer.user, workspace=viewer.workspace).events_seen_at is None


def test_admins_see_how_far_webhooks_got(browser: Browser, owner: Caller, viewer: Caller, webhook: Webhook) -> None:
    near(owner.workspace, services.create_key(owner, {"name": "k"})[0])

    assert "On its way" in browser.get("events")
    assert "localhost:9" not in Browser(viewer).get("events")


def test_nobody_sees_anothers_events(stranger: Caller, owner: Caller, key: GatewayKey) -> None:
    near(owner.workspace, key)

    assert "chatbot" not in Browser(stranger).get("events")
    assert unread(Browser(stranger).get("overview")) == ""


def test_the_list_asks_as_often_for_many(browser: Browser, owner: Caller, key: GatewayKey, webhook: Webhook) -> None:
    near(owner.workspace, key)
    few = queries_of(lambda: browser.get("events"))
    for percent in range(1, 9):
        near(owner.workspace, key, percent)
    assert queries_of(lambda: browser.get("events")) == few


# --- Webhooks ------------------------------------------------------------------------------------


def test_a_webhook_is_added_and_its_secret_shown_once(browser: Browser) -> None:
    assert "No webhooks yet" in browser.get("webhooks")

    page = browser.post("webhook-new", url="https://93.184.215.14/hook", kinds=["budget.threshold"])

    found = re.search(r'<code id="secret">(whsec_[^<]+)</code>', page.html)
    assert found
    assert "no-store" in page.headers["Cache-Control"]
    webhook = Webhook.objects.get()
    assert webhook.kinds == ["budget.threshold"]
    for name, args in (("webhooks", ()), ("webhook", (webhook.pk,)), ("audit", ())):
        shown = browser.get(name, *args)
        assert found[1] not in shown.html
        assert shown.inline == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"url": ""}, "This field is required."),
        ({"url": "http://93.184.215.14/"}, "Must start with https://"),
        ({"url": "https://10.1.2.3/"}, "private address"),
        ({"url": "https://93.184.215.14/", "kinds": ["party"]}, "not one of the available choices"),
    ],
)
def test_a_wrong_field_is_named(browser: Browser, fields: dict[str, object], complaint: str) -> None:
    page = browser.post("webhook-new", **fields, htmx=True)

    assert page.status == 422
    assert complaint in page
    assert not Webhook.objects.exists()


def test_a_test_says_how_it_went(browser: Browser, webhook: Webhook) -> None:
    page = browser.follow(browser.post("webhook-test", webhook.pk))

    assert "The test message did not arrive. The connection was refused" in page
    assert "Given up" in page
    assert "Nothing has arrived since" in page


def test_it_is_changed_rotated_switched_off_and_removed(browser: Browser, webhook: Webhook) -> None:
    browser.post("webhook", webhook.pk, url="https://93.184.215.14/new")
    webhook.refresh_from_db()
    assert (webhook.url, webhook.kinds) == ("https://93.184.215.14/new", [])

    assert "Make a new secret?" in browser.get("webhook-rotate", webhook.pk)
    assert "whsec_" in browser.post("webhook-rotate", webhook.pk)

    assert "switched off" in browser.follow(browser.post("webhook-state", webhook.pk, enabled="no"))
    assert "switched on" in browser.follow(browser.post("webhook-state", webhook.pk, enabled="yes"))

    assert "Remove this webhook?" in browser.get("webhook-remove", webhook.pk)
    browser.post("webhook-remove", webhook.pk)
    assert not Webhook.objects.exists()


def test_deliveries_are_read_page_by_page(browser: Browser, webhook: Webhook) -> None:
    WebhookDelivery.objects.bulk_create(WebhookDelivery(webhook=webhook, state="delivered") for _ in range(26))

    link = re.search(r'href="(\?cursor=[^"]+)"', browser.get("webhook", webhook.pk).html)

    assert link
    assert browser.get("webhook", webhook.pk, cursor="junk").status == 303


WEBHOOK_PAGES = ("webhook", "webhook-test", "webhook-state", "webhook-rotate", "webhook-remove")


def test_only_admins_see_webhooks(member: Caller, stranger: Caller, webhook: Webhook) -> None:
    theirs = Browser(member)

    assert theirs.get("webhooks").status == 403
    assert theirs.get("webhook-new").status == 403
    assert "Webhooks" not in theirs.get("team")
    for page in WEBHOOK_PAGES:
        assert theirs.post(page, webhook.pk).status == 403
        assert Browser(stranger).post(page, webhook.pk).status == 404


# --- The audit trail -----------------------------------------------------------------------------


def test_the_trail_reads_as_sentences_with_what_changed(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    browser.post("gateway-key", key.pk, name="robot", scopes=["inference"], budget_usd="5", budget_period="day")

    page = browser.get("audit", object=str(key.pk))

    assert "owner@example.com changed the gateway key robot" in page
    assert "owner@example.com created the gateway key chatbot" in page
    assert "console · 127.0.0.1" in page
    assert re.search(r"<del>chatbot</del>.*?<ins>robot</ins>", page.html)
    assert re.search(r"budget_usd</dt>\s*<dd>\s*<ins>5</ins>", page.html)
    assert page.inline == []


def test_the_trail_is_filtered(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    audit.record(None, "provider.removed", "old box", workspace=owner.workspace)

    assert "old box" not in browser.get("audit", action="key")
    assert "The installation removed the provider old box" in browser.get("audit", actor="system")
    assert "No change matches" in browser.get("audit", object="nothing")
    wrong = browser.get("audit", **{"from": "2026-02-02", "to": "2026-01-01"}, htmx=True)
    assert (wrong.status, "before the first day" in wrong) == (422, True)
    assert browser.get("audit", action="party").status == 422
    for day in ("9999-12-31", "0001-01-01"):
        assert browser.get("audit", to=day, htmx=True).status == 422
    assert "chatbot" in browser.get("audit", to=timezone.now().date().isoformat())


def test_the_trail_goes_on_on_the_next_page(browser: Browser, owner: Caller) -> None:
    for number in range(51):
        audit.record(owner, "cache.purged", f"cache-{number:02}")

    first = browser.get("audit", action="cache")
    link = re.search(r'href="(\?[^"]*cursor=[^"]+)"', first.html)

    assert "cache-50" in first
    assert "cache-00" not in first
    assert link
    assert "cache-00" in Page(browser.client.get(reverse("audit") + link[1].replace("&amp;", "&")))


def test_the_trail_asks_as_often_for_many(browser: Browser, owner: Caller) -> None:
    few = queries_of(lambda: browser.get("audit"))
    for number in range(8):
        audit.record(owner, "cache.purged", str(number), new={"a": {"b": number}})
    assert queries_of(lambda: browser.get("audit")) == few


def test_only_admins_read_it(admin: Caller, member: Caller, stranger: Caller, key: GatewayKey) -> None:
    assert Browser(admin).get("audit").status == 200
    assert Browser(member).get("audit").status == 403
    assert "Audit trail" not in Browser(member).get("team")
    assert "chatbot" not in Browser(stranger).get("audit")
