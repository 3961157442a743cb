"""What every page has in common: its policy, its files, who may see it, and how it refuses."""

import re

import pytest
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.access import Caller
from gateway_project.env import BASE_DIR
from gateway_project.error_pages import server_error
from keys.models import GatewayKey, Provider
from tests.analytics.ledger import record
from tests.console.browser import INLINE, Browser, Page
from tests.console.conftest import queries_of

TEMPLATES = BASE_DIR / "templates"
PAGES = ["overview", "providers", "provider-new", "gateway-keys", "gateway-key-new", "requests", "team", "account"]


def assert_strict(page: Page) -> None:
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert page.inline == []


def missing_files(html: str) -> list[str]:
    """The static files that a page names and that do not exist."""
    named = {re.split("[?#]", link)[0] for link in re.findall(r'"/static/([^"]+)"', html)}
    return [name for name in named if not finders.find(name)]


@pytest.mark.parametrize("name", PAGES)
def test_pages_hold_nothing_inline(browser: Browser, name: str) -> None:
    page = browser.get(name)

    assert page.status == 200
    assert_strict(page)


def test_detail_pages_hold_nothing_inline(browser: Browser, owner: Caller, demo: Provider, key: GatewayKey) -> None:
    request = record(owner.workspace, key_id=key.pk)

    for name, row in (("provider", demo), ("gateway-key", key), ("request", request), ("provider-remove", demo)):
        assert_strict(browser.get(name, row.pk))
    assert_strict(browser.get("overview"))


@pytest.mark.parametrize("name", ["login", "signup"])
def test_entry_pages_hold_nothing_inline(db: None, name: str) -> None:
    assert_strict(Browser().get(name))


def test_templates_hold_nothing_inline() -> None:
    found = {path.name: INLINE.findall(path.read_text()) for path in TEMPLATES.rglob("*.html")}

    assert {name: marks for name, marks in found.items() if marks} == {}


@pytest.mark.parametrize("name", ["docs", "redoc"])
def test_the_api_reference_asks_no_other_host(db: None, name: str) -> None:
    page = Browser().get(name)

    assert page.status == 200
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert page.inline == []
    links = re.findall(r'(?:src|href)="([^"]+)"', page.html)
    assert all(link.startswith("/") for link in links)
    assert missing_files(page.html) == []


def test_every_file_that_pages_name_exists(browser: Browser) -> None:
    html = browser.get("team").html + Browser().get("login").html

    assert html.count("/static/") > 10
    assert missing_files(html) == []


def test_every_icon_that_templates_name_exists() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (BASE_DIR / "static/img/icons.svg").read_text()))
    named = {name for path in TEMPLATES.rglob("*.html") for name in re.findall(r'{% icon "([^"]+)"', path.read_text())}

    assert named == sprite


@pytest.mark.parametrize("name", PAGES)
def test_pages_lead_a_visitor_to_the_login(db: None, name: str) -> None:
    page = Browser().get(name)

    assert page.status == 302
    assert page.location.startswith(reverse("login"))


def test_a_form_from_elsewhere_is_refused(owner: Caller) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)

    answer = client.post(reverse("provider-demo"))

    assert answer.status_code == 403
    assert "reload it and try again" in answer.content.decode()


def test_an_unknown_page_is_a_page_for_people_and_json_for_programs(browser: Browser) -> None:
    people = browser.client.get("/console/nothing/")
    programs = browser.client.get("/api/nothing")
    htmx = browser.client.get("/console/nothing/", headers={"HX-Request": "true"})

    assert (people.status_code, people["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert Page(people).inline == []
    assert (programs.status_code, programs.json()["error"]["code"]) == (404, "not_found")
    assert (htmx.status_code, htmx["Content-Type"]) == (404, "text/plain; charset=utf-8")


def test_an_error_page_asks_the_database_nothing(browser: Browser) -> None:
    request = RequestFactory().get("/console/", headers={"accept": "text/html"})
    SessionMiddleware(HttpResponse).process_request(request)
    AuthenticationMiddleware(HttpResponse).process_request(request)
    MessageMiddleware(HttpResponse).process_request(request)
    request.session = SessionStore(browser.client.cookies["sessionid"].value)

    assert queries_of(lambda: server_error(request)) == 0


def test_an_error_of_ours_shows_nothing_of_it(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret is sk-123")

    monkeypatch.setattr("accounts.views._team_page", fail)
    browser.client.raise_request_exception = False

    page = browser.get("team")

    assert page.status == 500
    assert "The error was logged" in page
    assert "sk-123" not in page.html
