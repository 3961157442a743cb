"""Gateway keys: a secret that is shown once, rotation, revocation, settings."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.access import Caller
from keys import services, tokens
from keys.models import GatewayKey
from tests.console.browser import Browser, Page
from tests.console.conftest import queries_of

ALL_SCOPES = ["inference", "documents:read", "documents:write"]


def secret_of(page: Page) -> str:
    found = re.search(r'<code id="secret">(gw_\w+)</code>', page.html)
    assert found, page
    return found[1]


def test_the_secret_is_shown_once_with_snippets(browser: Browser) -> None:
    page = browser.post("gateway-key-new", name="chatbot", scopes=ALL_SCOPES)

    secret = secret_of(page)
    key = GatewayKey.objects.get()
    assert page.status == 200
    assert "no-store" in page.headers["Cache-Control"]
    assert tokens.is_well_formed(secret)
    assert bytes(key.secrets.get().digest) == tokens.digest(secret)
    assert page.html.count(secret) == 4  # by itself, and in three snippets
    assert page.html.count("http://testserver/v1") == 3
    for name, args in (("gateway-keys", ()), ("gateway-key", (key.pk,)), ("overview", ())):
        assert secret not in browser.get(name, *args).html
    assert f'data-canonical="{reverse("gateway-key", args=[key.pk])}"' in page.html


def test_htmx_shows_the_secret_under_the_keys_own_address(browser: Browser) -> None:
    page = browser.post("gateway-key-new", name="chatbot", scopes=ALL_SCOPES, htmx=True)

    key = GatewayKey.objects.get()
    assert page.headers["HX-Retarget"] == "#main"
    assert page.headers["HX-Push-Url"] == reverse("gateway-key", args=[key.pk])
    assert "<html" not in page.html
    assert secret_of(page)


def test_limits_are_kept(browser: Browser) -> None:
    day = (timezone.now() + timedelta(days=3)).date()

    browser.post(
        "gateway-key-new", name="ci", expires_on=day.isoformat(), allowed_models="demo/demo\n\nauto ",
        privacy_mode="strict", scopes=["inference"],
    )  # fmt: skip

    key = GatewayKey.objects.get()
    assert key.expires_at == datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    assert (key.allowed_models, key.privacy_mode, key.scopes) == (["demo/demo", "auto"], "strict", ["inference"])
    assert f'value="{day.isoformat()}"' in browser.get("gateway-key", key.pk).html


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 121}, "at most 120 characters"),
        ({"name": "a\0b"}, "Null characters are not allowed."),
        ({"name": "a", "scopes": []}, "Choose at least one."),
        ({"name": "a", "expires_on": "2020-01-01"}, "This day is over already."),
        ({"name": "a", "expires_on": "soon"}, "Enter a valid date."),
        ({"name": "a", "privacy_mode": "secret"}, "not one of the available choices"),
        ({"name": "a", "allowed_models": "m" * 301}, "at most 300 characters"),
    ],
)
def test_a_wrong_field_is_named(browser: Browser, fields: dict[str, object], complaint: str) -> None:
    page = browser.post("gateway-key-new", **({"scopes": ALL_SCOPES} | fields), htmx=True)

    assert page.status == 422
    assert complaint in page
    assert not GatewayKey.objects.exists()


def test_settings_can_be_changed(browser: Browser, key: GatewayKey) -> None:
    page = browser.post("gateway-key", key.pk, name="robot", scopes=["inference"])

    assert "The changes are saved." in browser.follow(page)
    key.refresh_from_db()
    assert (key.name, key.scopes, key.allowed_models) == ("robot", ["inference"], None)
    assert browser.post("gateway-key", key.pk, name="", scopes=["inference"], htmx=True).status == 422


def test_an_expired_key_can_still_be_renamed(browser: Browser, key: GatewayKey) -> None:
    GatewayKey.objects.update(expires_at=datetime(2026, 1, 2, tzinfo=UTC))

    page = browser.get("gateway-key", key.pk)
    assert "Expired" in page
    assert 'value="2026-01-01"' in page.html
    changed = browser.post("gateway-key", key.pk, name="old", expires_on="2026-01-01", scopes=ALL_SCOPES)
    assert changed.status == 303


def test_rotation_shows_a_new_secret_and_what_becomes_of_the_old(browser: Browser, key: GatewayKey) -> None:
    assert "Rotate chatbot?" in browser.get("gateway-key-rotate", key.pk, htmx=True)

    page = browser.post("gateway-key-rotate", key.pk, overlap_seconds="3600")

    assert "The previous secret works until" in page
    assert secret_of(page)
    assert key.secrets.count() == 2
    assert "still works until" in browser.get("gateway-key", key.pk)
    assert "The previous secret no longer works." in browser.post("gateway-key-rotate", key.pk, overlap_seconds="0")
    assert browser.post("gateway-key-rotate", key.pk, overlap_seconds="5").status == 422


def test_rotation_is_offered_to_those_who_may(key: GatewayKey, owner: Caller, admin: Caller, member: Caller) -> None:
    link = reverse("gateway-key-rotate", args=[key.pk])
    for caller in (owner, admin):
        assert link in Browser(caller).get("gateway-key", key.pk).html
    page = Browser(member).get("gateway-key", key.pk)
    assert link not in page.html
    assert "an admin or an owner can rotate it" in page


def test_revoking_asks_first_and_is_final(browser: Browser, key: GatewayKey) -> None:
    assert "Revoke chatbot?" in browser.get("gateway-key-revoke", key.pk)
    key.refresh_from_db()
    assert key.revoked_at is None

    page = browser.follow(browser.post("gateway-key-revoke", key.pk))

    assert "chatbot is revoked." in page
    assert "Revoked" in page
    assert "cannot be changed or brought back" in browser.get("gateway-key", key.pk)
    assert browser.post("gateway-key", key.pk, name="back", scopes=ALL_SCOPES).status == 422
    assert "was revoked" in browser.follow(browser.post("gateway-key-rotate", key.pk, overlap_seconds="0"))


def test_a_viewer_only_looks(viewer: Caller, key: GatewayKey) -> None:
    browser = Browser(viewer)

    assert "chatbot" in browser.get("gateway-keys")
    assert "Only a member" in browser.get("gateway-key", key.pk)
    assert browser.get("gateway-key-new").status == 403
    for name in ("gateway-key", "gateway-key-rotate", "gateway-key-revoke"):
        assert browser.post(name, key.pk).status == 403


def test_for_a_stranger_it_does_not_exist(stranger: Caller, key: GatewayKey) -> None:
    browser = Browser(stranger)

    assert "chatbot" not in browser.get("gateway-keys")
    for name in ("gateway-key", "gateway-key-rotate", "gateway-key-revoke"):
        assert browser.get(name, key.pk).status == 404
        assert browser.post(name, key.pk).status == 404


def test_older_keys_are_on_the_next_page(browser: Browser, owner: Caller) -> None:
    for number in range(51):
        services.create_key(owner, {"name": f"key-{number:02}"})

    first = browser.get("gateway-keys")
    link = re.search(r'href="(\?cursor=[^"]+)"', first.html)

    assert "key-50" in first
    assert "key-00" not in first
    assert link
    assert "key-00" in Page(browser.client.get(reverse("gateway-keys") + link[1]))
    assert browser.get("gateway-keys", cursor="junk").status == 303


def test_the_list_asks_as_often_for_many(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    few = queries_of(lambda: browser.get("gateway-keys"))
    for number in range(20):
        services.create_key(owner, {"name": f"key {number}"})

    assert queries_of(lambda: browser.get("gateway-keys")) == few


def test_flexible_is_offered_only_where_a_key_has_it(browser: Browser, owner: Caller) -> None:
    key, _ = services.create_key(owner, {"name": "made by the API", "privacy_mode": "flexible"})

    assert "Flexible" not in browser.get("gateway-key-new")
    assert 'value="flexible" selected' in browser.get("gateway-key", key.pk).html
    saved = browser.post("gateway-key", key.pk, name="renamed", privacy_mode="flexible", scopes=ALL_SCOPES)
    key.refresh_from_db()
    assert (saved.status, key.name, key.privacy_mode) == (303, "renamed", "flexible")
