"""The page of analytics: figures, charts' data, the same numbers as tables, filters in the URL."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts.access import Caller
from keys import services
from keys.models import GatewayKey
from tests.analytics.ledger import record
from tests.console.browser import Browser, Page
from tests.console.conftest import queries_of

NOW = datetime.now(UTC)


def charts(page: Page) -> dict[str, Any]:
    """What the page's script draws, by chart."""
    found = re.search(r'<script id="chart-data" type="application/json">(.*?)</script>', page.html)
    return {chart["id"]: chart for chart in json.loads(found[1])} if found else {}


def requests(page: Page) -> int:
    """The number that the page announces."""
    found = re.search(r'data-announce="(?:([\d,]+) request|No requests)', page.html)
    assert found, page
    return int((found[1] or "0").replace(",", ""))


def test_what_a_period_came_to_is_there_as_figures_charts_and_tables(browser: Browser, owner: Caller) -> None:
    record(owner.workspace, created_at=NOW, cost_usd=Decimal("1.5"), latency_ms=780)
    record(owner.workspace, created_at=NOW, cost_usd=0, status=503, model="tiny")
    record(owner.workspace, created_at=NOW, cost_usd=0, cache="hit", saved_usd=Decimal("0.25"), latency_ms=780)

    page = browser.get("analytics")

    assert "Spend $1.50" in page
    assert "Requests 3 " in page
    assert "Tokens 4,500 3,600 in 900 out" in page
    assert "Not answered 1 33% of requests" in page
    assert "Cache saved $0.25 1 hit, 100% of those asked" in page
    assert re.search(r"Median latency ≈ 7\d\d ms 95% within ≈ 7\d\d ms", page.text)
    assert f"{NOW:%a} {NOW.day} {NOW:%b %Y} 3 1 3,600 / 900 $1.50 $0.25" in page
    assert "gpt-5 2 0 2,400 / 600 $1.50 $0.25" in page
    assert "tiny 1 1 1,200 / 300 $0 $0 \N{EN DASH} \N{EN DASH}" in page
    drawn = charts(page)
    assert set(drawn) == {"cost", "requests", "tokens", "latency", "errors", "saved", "by-cost"}
    assert all(
        len(series["data"]) == 30 for id, chart in drawn.items() if id != "by-cost" for series in chart["series"]
    )
    assert drawn["cost"]["series"][0]["data"][-1] == 1.5
    assert (drawn["by-cost"]["labels"], drawn["by-cost"]["series"][0]["data"]) == (["gpt-5", "tiny"], [1.5, 0])
    assert page.inline == []


def test_a_sum_says_how_many_requests_are_not_in_it(browser: Browser, owner: Caller) -> None:
    """Their price is unknown, which is not nothing: in the total, by day and by model."""
    record(owner.workspace, created_at=NOW, cost_usd=Decimal("1.5"))
    for _ in range(2):
        record(owner.workspace, created_at=NOW, cost_usd=0, model="new", price={"source": "unknown"})

    page = browser.get("analytics")

    assert "Spend ≥ $1.50 without 2 of unknown price" in page
    assert f"{NOW:%b %Y} 3 0 3,600 / 900 ≥ $1.50 2 unpriced" in page
    assert "new 2 0 2,400 / 600 ≥ $0 2 unpriced" in page
    assert "gpt-5 1 0 1,200 / 300 $1.50 $0" in page


def test_a_day_is_shown_by_the_hour(browser: Browser, owner: Caller) -> None:
    for hours, cost in ((0, "1.5"), (3, "0.25"), (23, "0.5"), (25, "9")):
        record(owner.workspace, created_at=NOW - timedelta(hours=hours), cost_usd=Decimal(cost))

    page = browser.get("analytics", period="24h")

    assert "Spend $2.25" in page
    drawn = charts(page)["cost"]
    assert len(drawn["labels"]) == len(drawn["series"][0]["data"]) == 25
    spent = [(label, usd) for label, usd in zip(drawn["labels"], drawn["series"][0]["data"], strict=True) if usd]
    earlier, now = NOW - timedelta(hours=3), NOW
    assert spent[1:] == [(f"{earlier:%H}:00", 0.25), (f"{now:%H}:00", 1.5)]
    assert f"{earlier:%a} {earlier.day} {earlier:%b}, {earlier:%H}:00 1 0 1,200 / 300 $0.25" in page
    assert "What each hour came to" in page


def test_groups_and_measures_are_chosen_in_the_url(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    gone = uuid4()
    record(owner.workspace, created_at=NOW, key_id=key.pk, user_id=owner.user.pk, policy="cheap", provider="box")
    record(owner.workspace, created_at=NOW, key_id=gone, user_id=gone)
    record(owner.workspace, created_at=NOW, model="", provider="", prompt_tokens=10_000)

    def labels(**query: str) -> list[str]:
        drawn = charts(browser.get("analytics", **query))
        names: list[str] = drawn[f"by-{query.get('measure', 'cost')}"]["labels"]
        return names

    assert set(labels(by="key")) == {"chatbot", "Removed key", "Console"}
    assert set(labels(by="user")) == {"Olga Owner", "Former member", "Nobody"}
    assert set(labels(by="provider")) == {"box", "openai", "No provider"}
    assert set(labels(by="policy")) == {"cheap", "Balanced (built in)"}
    assert labels(by="model", measure="tokens") == ["No model", "gpt-5"]
    assert labels(by="model", measure="latency") == ["gpt-5", "No model"]
    assert f'href="?by=key&amp;key={key.pk}"' in browser.get("analytics", by="key").html


FILTERS: list[tuple[dict[str, str], int]] = [
    ({}, 3), ({"period": "24h"}, 1), ({"period": "7d"}, 2), ({"period": "90d"}, 4), ({"model": "tiny"}, 1),
    ({"provider": "box"}, 1), ({"policy": "cheap"}, 1), ({"period": "90d", "model": "tiny"}, 2),
    ({"period": "custom", "from": f"{NOW - timedelta(days=3):%F}", "to": f"{NOW - timedelta(days=3):%F}"}, 1),
    ({"from": f"{NOW - timedelta(days=20):%F}"}, 3), ({"period": "custom"}, 3), ({"model": "unheard-of"}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), FILTERS, ids=str)
def test_filters_come_from_the_url(browser: Browser, owner: Caller, query: dict[str, str], expected: int) -> None:
    record(owner.workspace, created_at=NOW, provider="box")
    record(owner.workspace, created_at=NOW - timedelta(days=3), policy="cheap")
    record(owner.workspace, created_at=NOW - timedelta(days=20), model="tiny")
    record(owner.workspace, created_at=NOW - timedelta(days=60), model="tiny")

    page = browser.get("analytics", **query)

    assert (page.status, requests(page)) == (200, expected)


def test_by_key(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    record(owner.workspace, created_at=NOW, key_id=key.pk)
    record(owner.workspace, created_at=NOW)

    assert requests(browser.get("analytics", key=str(key.pk))) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"period": "year"}, {"by": "status"}, {"measure": "beauty"}, {"key": "no-id"}, {"cursor": "junk"},
        {"from": "yesterday"}, {"from": "2026-11-21", "to": "2026-11-20"}, {"from": "2025-01-01", "to": "2026-11-20"},
        {"from": "0001-01-01"}, {"to": "9999-12-31"}, {"model": "a\0b"},
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_that_cannot_be_used_says_so(browser: Browser, owner: Caller, query: dict[str, str]) -> None:
    record(owner.workspace, created_at=NOW)

    page = browser.get("analytics", **query)

    assert (page.status, "That filter cannot be used" in page) == (422, True)


def test_an_empty_page_says_what_to_do(browser: Browser, owner: Caller) -> None:
    assert "See how to send one" in browser.get("analytics")

    record(owner.workspace, created_at=NOW - timedelta(days=60))

    assert "Look at the last 90 days" in browser.get("analytics")


def test_htmx_gets_the_results_alone_and_an_announcement(browser: Browser, owner: Caller) -> None:
    record(owner.workspace, created_at=NOW)

    page = browser.get("analytics", htmx=True)

    assert "<html" not in page.html
    assert 'data-announce="1 request, $0.00338, 0 not answered."' in page.html
    assert "HX-Request" in page.headers["Vary"]


def test_groups_beyond_the_first_are_on_the_next_page(browser: Browser, owner: Caller) -> None:
    for number in range(52):
        record(owner.workspace, created_at=NOW, model=f"model-{number:02}")

    first = browser.get("analytics", by="model")
    link = re.search(r'href="\?([^"]*cursor=[^"]+)"', first.html)
    assert link
    rest = Page(browser.client.get("/console/analytics/?" + link[1].replace("&amp;", "&")))

    assert ("model-49 1 " in first, "model-50 1 " in first, "model-50 1 " in rest) == (True, False, True)
    assert "First" in rest


def test_a_strangers_requests_are_not_in_it_and_a_viewer_sees_it(
    owner: Caller, stranger: Caller, viewer: Caller
) -> None:
    record(owner.workspace, created_at=NOW)

    assert requests(Browser(stranger).get("analytics")) == 0
    assert requests(Browser(viewer).get("analytics")) == 1
    assert Browser(viewer).post("analytics").status == 405
    assert Browser().get("analytics").location.startswith("/console/login/")


def test_the_page_asks_as_often_for_many(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    record(owner.workspace, created_at=NOW, key_id=key.pk)
    few = queries_of(lambda: browser.get("analytics", by="key"))
    for number in range(20):
        another, _ = services.create_key(owner, {"name": f"key {number}"})
        record(owner.workspace, created_at=NOW - timedelta(days=number), key_id=another.pk, model=f"m{number}")

    assert queries_of(lambda: browser.get("analytics", by="key")) == few
