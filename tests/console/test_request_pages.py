"""The list of requests with its filters, and one request's page."""

import re
import warnings
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.access import Caller
from keys import services
from keys.models import GatewayKey
from rag.models import Document
from tests.analytics.ledger import record
from tests.console.browser import Browser, Page
from tests.console.conftest import queries_of
from tests.rag.shelves import make_document, make_library


def shown(page: Page) -> list[str]:
    """The ids of the requests that the list links to, in order."""
    return re.findall(r'stretched" href="/console/requests/([^/]+)/"', page.html)


def test_requests_are_shown_newest_first(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    old = record(owner.workspace, key_id=key.pk)
    new = record(owner.workspace, 5, status=503, cost_usd=Decimal("0.000000000001"))

    page = browser.get("requests")

    assert shown(page) == [str(new.pk), str(old.pk)]
    assert "chatbot" in page
    assert "$0.000000000001" in page
    assert "1,200 / 300" in page


def test_a_refused_request_says_so_beside_what_it_asked_for(browser: Browser, owner: Caller) -> None:
    row = record(owner.workspace, status=404, requested_model="gpt-9", model="", provider="", attempts=[])

    page = browser.get("requests")

    assert "gpt-9 refused" in page
    assert row.created_at.strftime("%H:%M:%S UTC") in page


def test_what_was_not_asked_of_a_provider_says_why(browser: Browser, owner: Caller) -> None:
    record(owner.workspace, 0, cache="hit")
    record(owner.workspace, 1, replay_of=uuid4())
    record(owner.workspace, 2, provider="", model="", status=402, attempts=[{"provider": "box", "error": "not asked"}])
    page = browser.get("requests").html
    assert [page.count(words) for words in ("· from the cache", "given again", "refused")] == [1, 1, 1]


def test_the_documents_of_an_answer_are_linked_while_they_are_there(browser: Browser, owner: Caller) -> None:
    document = make_document(make_library(owner.workspace, "towers"), ["Red."], title="Lighthouses")
    used = {"library": "towers", "passages": 2, "mode": "text", "documents": [str(document.pk)]}
    row = record(owner.workspace, grounding=used)

    page = browser.get("request", row.pk)
    assert "2 passages of towers" in page
    assert f'/documents/{document.pk}/">Lighthouses</a>' in page.html
    assert "Searched by words." in page

    Document.objects.all().delete()
    page = browser.get("request", row.pk)
    assert f"A document that is deleted: {document.pk}" in page
    assert "Documents" not in browser.get("request", record(owner.workspace).pk).html.split("<main")[1]


def test_filters_come_from_the_url(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    mini = record(owner.workspace, model="gpt-5-mini", key_id=key.pk)
    failed = record(owner.workspace, 60, status=503)
    refused = record(owner.workspace, 24 * 60, status=404, model="", requested_model="nope")

    def ids(**query: str) -> set[str]:
        return set(shown(browser.get("requests", **query)))

    assert ids(model="MINI") == {str(mini.pk)}
    assert ids(model="nope") == {str(refused.pk)}
    assert ids(key=str(key.pk)) == {str(mini.pk)}
    assert ids(status="ok") == {str(mini.pk)}
    assert ids(status="failed") == {str(failed.pk), str(refused.pk)}
    assert ids(status="client") == {str(refused.pk)}
    assert ids(status="server") == {str(failed.pk)}
    assert ids(**{"from": "2026-11-21"}) == {str(refused.pk)}
    assert ids(**{"to": "2026-11-20"}) == {str(mini.pk), str(failed.pk)}
    assert ids(**{"from": "2026-11-20", "to": "2026-11-21", "status": "ok"}) == {str(mini.pk)}
    assert "No request matches" in browser.get("requests", model="claude")


def test_each_further_filter_shows_what_it_names(browser: Browser, owner: Caller) -> None:
    record(owner.workspace)
    changed: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({"provider": "box"}, {"provider": "box"}),
        ({"policy": "cheap"}, {"policy": "cheap"}),
        ({"user": str(owner.user.pk)}, {"user_id": owner.user.pk}),
        ({"cache": "hit"}, {"cache": "hit"}),
        ({"complexity": "expert"}, {"complexity": "expert"}),
        ({"privacy": "local"}, {"privacy": "local"}),
        ({"stream": "yes"}, {"stream": True}),
        ({"q": "order-7"}, {"client_request_id": "order-7"}),
    ]
    for number, (query, columns) in enumerate(changed, 1):
        wanted = record(owner.workspace, number, **columns)
        page = browser.get("requests", **query)
        assert shown(page) == [str(wanted.pk)], query
        assert '<details class="more" open>' in page.html
    assert '<details class="more">' in browser.get("requests").html
    assert shown(browser.get("requests", q=str(wanted.pk))) == [str(wanted.pk)]
    assert len(shown(browser.get("requests", stream="no"))) == len(changed)


def test_what_is_shown_can_be_exported(browser: Browser, owner: Caller) -> None:
    record(owner.workspace)
    wanted = record(owner.workspace, 1, status=503, requested_model="tiny-2", model="")
    page = browser.get("requests", status="failed", model="tiny")
    link = re.search(r'href="(/console/requests.csv[^"]+)"', page.html)
    assert link
    with warnings.catch_warnings(action="ignore"):  # the test client reads a stream from synchronous code
        lines = b"".join(browser.client.get(link[1].replace("&amp;", "&"))).decode().splitlines()
    assert [line.split(",")[0] for line in lines] == ["id", str(wanted.pk)]
    assert browser.get("requests-csv", status="teapot").status == 422


def test_the_key_filter_offers_the_newest_and_the_chosen(
    browser: Browser, owner: Caller, key: GatewayKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.views.KEY_CHOICES", 2)
    for number in range(3):
        services.create_key(owner, {"name": f"newer {number}"})
    record(owner.workspace, key_id=key.pk)

    offered = browser.get("requests").html
    chosen = browser.get("requests", key=str(key.pk))

    assert "newer 2</option>" in offered
    assert "newer 0</option>" not in offered
    assert "chatbot</option>" not in offered
    assert "chatbot</option>" in chosen.html
    assert len(shown(chosen)) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"status": "teapot"},
        {"key": "no-id"},
        {"from": "yesterday"},
        {"from": "2026-11-21", "to": "2026-11-20"},
        {"model": "a\0b"},
        {"cursor": "junk"},
        {"cache": "warm"},
        {"user": "ada"},
        {"provider": "a\0b"},
        {"to": "9999-12-31"},
        {"from": "0001-01-01"},
    ],
)
def test_a_filter_that_cannot_be_used_says_so(browser: Browser, owner: Caller, query: dict[str, str]) -> None:
    record(owner.workspace)

    page = browser.get("requests", **query)

    assert page.status == 422
    assert "That filter cannot be used" in page


def test_htmx_gets_the_results_alone(browser: Browser, owner: Caller) -> None:
    record(owner.workspace)

    page = browser.get("requests", status="ok", htmx=True)

    assert "<html" not in page.html
    assert 'data-announce="1 request."' in page.html
    assert "HX-Request" in page.headers["Vary"]


def test_older_requests_are_on_the_next_page_with_the_same_filter(browser: Browser, owner: Caller) -> None:
    rows = [record(owner.workspace, minute) for minute in range(55)]
    record(owner.workspace, 99, status=500)

    first = browser.get("requests", status="ok")
    link = re.search(r'href="(\?[^"]*cursor=[^"]+)"', first.html)
    assert link
    second = Page(browser.client.get(reverse("requests") + link[1].replace("&amp;", "&")))

    assert shown(first) + shown(second) == [str(row.pk) for row in reversed(rows)]
    assert "Newest" in second


def test_a_request_shows_how_its_cost_adds_up(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    request = record(owner.workspace, key_id=key.pk, stream=True, client_request_id="mine-1")

    page = browser.get("request", request.pk)

    assert "Prompt 200 $1.25 $0.00025" in page
    assert "Prompt, from the cache 1,000 $0.125 $0.000125" in page
    assert "Completion, reasoning 100 $10.00 $0.001" in page
    assert "Total $0.00338" in page
    assert "prices of litellm 1.0" in page
    assert "mine-1" in page
    assert reverse("gateway-key", args=[key.pk]) in page.html


def test_an_answer_from_the_cache_shows_what_it_saved_and_who_ruled(browser: Browser, owner: Caller) -> None:
    request = record(
        owner.workspace, cache="hit", cost_usd=0, saved_usd=Decimal("0.003375"), policy="cheap", policy_version=3
    )

    page = browser.get("request", request.pk)

    assert "Cost $0 $0.00338 saved by the cache" in page
    assert "Cache hit" in page
    assert "Policy cheap (version 3)" in page


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "Answer in one piece"),
        ({"stream": True}, "Answer streamed"),
        ({"stream": True, "status": 502}, "Answer streamed"),  # it broke off
        ({"status": 404, "ttft_ms": None, "provider": "", "model": "", "attempts": []}, "Answer none"),
    ],
)
def test_a_request_shows_how_it_was_answered(
    browser: Browser, owner: Caller, fields: dict[str, Any], shown: str
) -> None:
    page = browser.get("request", record(owner.workspace, **fields).pk)

    assert shown in page
    assert ("Policy Balanced (built in)" in page) == ("provider" not in fields)


def test_a_failed_request_shows_its_attempts(browser: Browser, owner: Caller) -> None:
    attempts = [
        {"provider": "box", "model": "tiny", "status": 429, "error": "slow down", "ms": 10},
        {"provider": "box", "model": "tiny", "status": None, "error": "the connection was refused", "ms": 2},
    ]
    request = record(
        owner.workspace, status=503, error_code="no_available_model", error="<b>Nobody</b> could answer.",
        attempts=attempts, price={}, cost_usd=0, ttft_ms=None,
    )  # fmt: skip

    page = browser.get("request", request.pk)

    assert "no_available_model" in page
    assert "&lt;b&gt;Nobody" in page.html
    assert "slow down" in page
    assert "the connection was refused" in page
    assert "nothing was charged" in page
    local = record(owner.workspace, status=502, cost_usd=0, price={"source": "local"})
    assert "No model answered" in browser.get("request", local.pk)


def test_a_request_shows_who_stood_to_be_asked(browser: Browser, owner: Caller) -> None:
    request = record(
        owner.workspace,
        candidates=[["openai/gpt-5", 0.81219], ["box/org/tiny", 0.5], ["far/big", "it is <switched> off"]],
    )

    page = browser.get("request", request.pk)

    assert "openai gpt-5 0.812 box org/tiny 0.500 far big left out: it is &lt;switched&gt; off" in page
    assert "Candidates" not in browser.get("request", record(owner.workspace).pk)


def test_a_removed_key_and_an_estimate_are_said(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    request = record(owner.workspace, key_id=key.pk, usage_estimated=True, price={"source": "unknown"})
    key.delete()

    page = browser.get("request", request.pk)

    assert "Removed key" in page
    assert "estimates" in page
    assert "No price is known for this model" in page


def test_for_a_stranger_it_does_not_exist(stranger: Caller, owner: Caller) -> None:
    request = record(owner.workspace)
    browser = Browser(stranger)

    assert shown(browser.get("requests")) == []
    assert browser.get("request", request.pk).status == 404
    assert browser.get("request", "no-id").status == 404


def test_a_viewer_sees_them(viewer: Caller) -> None:
    request = record(viewer.workspace)

    assert shown(Browser(viewer).get("requests")) == [str(request.pk)]
    assert Browser(viewer).get("request", request.pk).status == 200
    assert Browser(viewer).post("requests").status == 405


def test_the_list_asks_as_often_for_many(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    record(owner.workspace, key_id=key.pk)
    few = queries_of(lambda: browser.get("requests"))
    for number in range(20):
        key, _ = services.create_key(owner, {"name": f"key {number}"})
        record(owner.workspace, number, key_id=key.pk)

    assert queries_of(lambda: browser.get("requests")) == few


def test_a_cost_that_nobody_knows_is_not_shown_as_zero(browser: Browser, owner: Caller) -> None:
    known = record(owner.workspace, cost_usd=0, price={"source": "local"})
    assert "unknown" not in browser.get("requests")
    assert "unknown" not in browser.get("overview")
    unknown = record(owner.workspace, cost_usd=0, price={"source": "unknown"})

    assert "unknown" in browser.get("requests")
    assert "unknown" in browser.get("overview")
    assert "Cost unknown" in browser.get("request", unknown.pk)
    assert "Cost $0" in browser.get("request", known.pk)
