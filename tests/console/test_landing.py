"""`GET /` and the overview."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.access import Caller
from gateway_project import VERSION
from keys.models import GatewayKey, Provider
from tests.analytics.ledger import record
from tests.console.browser import Browser
from tests.console.conftest import queries_of
from tests.rag.shelves import make_document, make_library


def test_a_program_gets_json(client: Client) -> None:
    answer = client.get("/", headers={"accept": "application/json"})

    assert answer.json() == {"message": "LLM Gateway", "version": VERSION, "docs": "http://testserver/docs"}
    assert "Accept" in answer["Vary"]


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "*/*"])
def test_a_browser_gets_the_console(client: Client, accept: str) -> None:
    answer = client.get("/", headers={"accept": accept})

    assert (answer.status_code, answer["Location"]) == (302, reverse("overview"))
    assert client.post("/").status_code == 405


def test_an_empty_workspace_shows_three_steps(browser: Browser) -> None:
    page = browser.get("overview")

    assert "Use the demo provider" in page
    assert "Create a key" in page
    assert "a snippet is ready once there is a key" in page


def test_the_demo_provider_takes_one_click(browser: Browser) -> None:
    clicked = browser.post("provider-demo")

    page = browser.follow(clicked)
    assert "demo is ready." in page
    assert "demo is enabled." in page
    assert Provider.objects.get().kind == "demo"
    browser.post("provider-demo")
    assert set(Provider.objects.values_list("name", flat=True)) == {"demo", "demo-2"}


def test_the_last_step_waits_for_the_first_request(
    browser: Browser, owner: Caller, demo: Provider, key: GatewayKey
) -> None:
    page = browser.get("overview")
    waiting = browser.get("checklist", htmx=True)
    record(owner.workspace, key_id=key.pk)
    arrived = browser.get("checklist", htmx=True)

    assert "http://testserver/v1/chat/completions" in page.html
    assert (waiting.status, "Waiting for the first request" in waiting) == (200, True)
    assert arrived.status == 286  # tells htmx to ask no more
    assert "<html" not in arrived.html
    assert "gpt-5 answered after 800 ms" in arrived


def test_a_viewer_is_told_who_can_do_the_steps(viewer: Caller) -> None:
    page = Browser(viewer).get("overview")

    assert "An admin of this workspace has to add one." in page
    assert "Use the demo provider" not in page
    assert Browser(viewer).post("provider-demo").status == 403


def test_the_overview_sums_its_period_alone(browser: Browser, owner: Caller, stranger: Caller) -> None:
    now = timezone.now()
    recent = record(owner.workspace, created_at=now - timedelta(hours=1))
    record(owner.workspace, status=503, cost_usd=1, created_at=now - timedelta(days=3))
    record(owner.workspace, cost_usd=1, created_at=now - timedelta(days=8))
    record(stranger.workspace, created_at=now - timedelta(hours=1))

    day, week = browser.get("overview"), browser.get("overview", period="7d")

    assert "Requests 1 " in day
    assert "$0.00338" in day
    assert "Requests 2 " in week
    assert "Not answered 1 50% of requests" in week
    assert reverse("request", args=[recent.pk]) in day.html
    assert browser.get("overview", period="nonsense").status == 200


def test_a_sum_says_when_the_price_of_some_is_unknown(browser: Browser, owner: Caller) -> None:
    now = timezone.now()
    record(owner.workspace, created_at=now)
    record(owner.workspace, created_at=now, cost_usd=0, price={"source": "unknown"})

    page = browser.get("overview", period="7d")

    assert "Cost ≥ $0.00338 1 request of unknown price" in page
    assert page.html.count("≥ $0.00338") == 2  # the period's, and the day's


def test_the_overview_shows_libraries_that_hold_documents(browser: Browser, owner: Caller, stranger: Caller) -> None:
    record(owner.workspace)
    make_library(owner.workspace, "bare")
    make_document(make_library(stranger.workspace, "foreign"), ["one"])
    assert "No documents yet. Add some, and answers quote them." in browser.get("overview")

    library = make_library(owner.workspace, "towers")
    make_document(library, ["one"])
    make_document(library, ["two"])
    page = browser.get("overview")

    assert "towers 2 documents" in page
    assert "bare" not in page
    assert "foreign" not in page


def test_the_overview_asks_as_often_for_many_rows(browser: Browser, owner: Caller, demo: Provider) -> None:
    record(owner.workspace)
    few = queries_of(lambda: browser.get("overview"))
    for _ in range(20):
        record(owner.workspace)

    assert queries_of(lambda: browser.get("overview")) == few


def test_after_the_demo_provider_the_next_step_has_the_focus(browser: Browser) -> None:
    page = browser.follow(browser.post("provider-demo"))

    assert "autofocus>Create a key</a>" in page.html
    assert "autofocus" not in browser.get("overview").html


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_slash_too_many_still_finds_the_reference(client: Client, path: str) -> None:
    assert client.get(f"{path}/")["Location"] == path


def test_the_reference_begins_with_the_gateway(client: Client) -> None:
    document = client.get("/openapi.json").json()

    named = [tag["name"] for tag in document["tags"]]
    used = {tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert named[0] == "Gateway"
    assert set(named) == used
    assert document["info"]["title"] == "LLM Gateway"
    assert "gateway key" in document["info"]["description"]
    assert "access token" in document["info"]["description"]
