"""Signing up, logging in and out, the account."""

import pytest
from django.urls import reverse
from pytest_django import Settings

from accounts.access import Caller
from accounts.models import User
from tests.api_client import PASSWORD
from tests.console.browser import Browser


def test_signing_up_logs_in_with_a_workspace(db: None) -> None:
    browser = Browser()
    assert "You are the first" in browser.get("signup")

    page = browser.post("signup", email="Ada@Example.com", name="Ada", password=PASSWORD)

    assert (page.status, page.location) == (303, reverse("overview"))
    assert "Ada's workspace" in browser.follow(page)
    assert User.objects.get().email == "ada@example.com"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"email": "nobody", "password": PASSWORD}, "Enter a valid email address."),
        ({"email": "a@example.com", "password": ""}, "This field is required."),
        ({"email": "a@example.com", "password": "12345678"}, "entirely numeric"),
        ({"email": "owner@example.com", "password": PASSWORD}, "This address has an account already"),
        ({"email": "a@example.com", "password": PASSWORD, "name": "x" * 121}, "at most 120 characters"),
    ],
)
def test_a_wrong_sign_up_comes_back_with_the_reason(owner: Caller, fields: dict[str, str], complaint: str) -> None:
    page = Browser().post("signup", **fields)

    assert page.status == 422
    assert complaint in page
    assert 'aria-invalid="true"' in page.html
    assert PASSWORD not in page.html
    assert User.objects.count() == 1


def test_sign_up_can_be_closed(db: None, settings: Settings) -> None:
    settings.SIGNUP_ENABLED = False

    assert "Sign-up is closed" in Browser().get("signup")
    assert Browser().post("signup", email="a@example.com", password=PASSWORD).status == 422
    assert "Create an account" not in Browser().get("login")


def test_logging_in_leads_where_one_was_going(owner: Caller) -> None:
    browser = Browser()
    fields = {"email": "OWNER@example.com", "password": PASSWORD, "next": reverse("team")}

    page = browser.post("login", **fields)

    assert (page.status, page.location) == (303, reverse("team"))
    assert browser.get("login").location == reverse("overview")


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_logging_in_leads_to_this_site_alone(owner: Caller, elsewhere: str) -> None:
    page = Browser().post("login", email="owner@example.com", password=PASSWORD, next=elsewhere)

    assert page.location == reverse("overview")


def test_a_wrong_pair_has_one_wording(owner: Caller) -> None:
    wrong = Browser().post("login", email="owner@example.com", password="wrong")
    unknown = Browser().post("login", email="nobody@example.com", password="wrong")

    assert wrong.status == unknown.status == 422
    assert "E-mail address or password is wrong." in wrong
    assert "E-mail address or password is wrong." in unknown


def test_logging_out_takes_a_post(browser: Browser) -> None:
    assert browser.get("logout").status == 405

    page = browser.post("logout")

    assert page.location == reverse("login")
    assert browser.get("overview").status == 302


def test_the_name_can_be_changed(browser: Browser, owner: Caller) -> None:
    page = browser.post("account", name="Olga Ordinary")

    assert "Your name is saved." in browser.follow(page)
    assert "Olga Ordinary" in browser.get("team")
    assert browser.post("account", name="x" * 121, htmx=True).status == 422


def test_the_password_can_be_changed_without_leaving(browser: Browser) -> None:
    page = browser.post("change-password", current=PASSWORD, new="Another-Horse-8-Battery")

    assert "Your password is changed." in browser.follow(page)
    assert browser.get("account").status == 200
    assert Browser().post("login", email="owner@example.com", password="Another-Horse-8-Battery").status == 303


def test_the_current_password_is_needed(browser: Browser) -> None:
    page = browser.post("change-password", current="wrong", new="Another-Horse-8-Battery", htmx=True)

    assert page.status == 422
    assert "Is not your password." in page
    assert "<html" not in page.html
    assert "Another-Horse" not in page.html


@pytest.mark.parametrize("chosen", ["dark", "light"])
def test_the_theme_is_rendered_by_the_server(browser: Browser, chosen: str) -> None:
    page = browser.post("theme", theme=chosen)

    assert page.status == 303
    assert f'data-theme="{chosen}" data-bs-theme="{chosen}"' in browser.get("account").html


def test_a_theme_that_is_none_is_the_systems(browser: Browser) -> None:
    page = browser.post("theme", theme='"><script>', htmx=True)

    assert (page.status, page.headers["HX-Trigger"]) == (204, '{"theme-changed": {"theme": "auto"}}')
    browser.client.cookies["theme"] = '"><script>'
    assert 'data-theme="auto"' in browser.get("account").html


def test_a_bad_sign_up_names_every_wrong_field(browser: Browser) -> None:
    page = Browser().post("signup", email="nobody", password="123")

    assert page.status == 422
    assert "Enter a valid email address." in page
    assert "This password is too short." in page
