"""`/api/analytics/overview`, `/cost-breakdown` and `/model-distribution`, as a client of the API sees them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Caller
from accounts.models import Workspace
from keys import services
from tests.analytics.ledger import record
from tests.api_client import ApiClient

OVERVIEW = "/api/analytics/overview"
BREAKDOWN = "/api/analytics/cost-breakdown"
DISTRIBUTION = "/api/analytics/model-distribution"
PATHS = (OVERVIEW, BREAKDOWN, DISTRIBUTION)
DAY = {"from": "2026-11-20", "to": "2026-11-21"}


def test_the_overview_says_what_a_period_came_to(api: ApiClient, workspace: Workspace) -> None:
    record(workspace, stream=True)
    record(workspace, 1, cache="hit", cost_usd=0, saved_usd=Decimal("0.000000000001"), latency_ms=2, privacy="local")
    record(workspace, 2, cache="miss", cost_usd=0, price={"source": "unknown"}, usage_estimated=True)
    record(workspace, 3, status=503, cost_usd=0, prompt_tokens=0, ttft_ms=None)
    sums: dict[str, Any] = {
        "requests": 4, "errors": 1, "streams": 1, "estimated": 1, "unpriced": 1, "prompt_tokens": 3600,
        "cached_tokens": 4000, "completion_tokens": 1200, "reasoning_tokens": 400, "total_tokens": 4800,
        "cost_usd": "0.003375", "saved_usd": "0.000000000001", "cache_hits": 1, "cache_asked": 2, "local": 1,
        "ttft_ms": 200,
    }  # fmt: skip
    found = api.get(OVERVIEW, **DAY).json
    latency = found.pop("latency_ms")
    (day,) = found.pop("days")
    assert found == {
        "from": "2026-11-20T00:00:00+00:00", "to": "2026-11-21T00:00:00+00:00",
        "error_rate": 0.25, "cache_hit_rate": 0.5, **sums,
    }  # fmt: skip
    assert latency == day.pop("latency_ms")
    assert latency["mean"] == 534
    assert latency["p50"] == pytest.approx(800, rel=0.1)
    assert day == {"day": "2026-11-20", **sums}


def test_without_a_period_it_is_the_last_thirty_days(api: ApiClient, workspace: Workspace) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in (0, 29, 30):
        record(workspace, created_at=today - timedelta(days=days))
    found = api.get(OVERVIEW).json
    assert (found["requests"], len(found["days"]), found["to"]) == (2, 30, None)
    assert found["from"] == (today - timedelta(days=29)).isoformat()
    assert api.get(BREAKDOWN).json["total"]["requests"] == 2


def test_nothing_is_zero(api: ApiClient) -> None:
    found = api.get(OVERVIEW, **DAY).json
    assert (found["requests"], found["cost_usd"], found["error_rate"], found["cache_hit_rate"]) == (0, "0", 0, 0)
    assert found["latency_ms"] == {"mean": None, "p50": None, "p95": None}
    assert len(found["days"]) == 1
    for path in (BREAKDOWN, DISTRIBUTION):
        answer = api.get(path, **DAY).json
        assert (answer["data"], answer["total"]["requests"], answer["next_cursor"]) == ([], 0, None)


def test_the_total_of_groups_is_the_overview_percentiles_included(api: ApiClient, workspace: Workspace) -> None:
    for minute, ms in enumerate((1, 14, 1)):
        record(workspace, minute, latency_ms=ms, model=f"m{minute}")
    for period in (DAY, {"from": "2026-11-20T00:00:00Z", "to": "2026-11-20T23:00:00Z"}):
        overview = api.get(OVERVIEW, **period).json
        for path in (BREAKDOWN, DISTRIBUTION):
            total = api.get(path, **period).json["total"]
            assert total == {name: overview[name] for name in total}
            assert (total["latency_ms"]["p50"], total["latency_ms"]["p95"]) == (1, pytest.approx(14, rel=0.1))


def test_a_breakdown_names_its_groups(api: ApiClient, owner: Caller, workspace: Workspace) -> None:
    key, _ = services.create_key(owner, {"name": "chatbot"})
    gone = uuid4()
    record(workspace, key_id=key.pk, user_id=owner.user.pk, policy="cheap", model="a", provider="x")
    record(workspace, 1, key_id=gone, user_id=gone, model="a", provider="y", cost_usd=Decimal("0.000001"))
    record(workspace, 2, status=404, model="", provider="", cost_usd=0)

    def named(by: str) -> list[tuple[Any, ...]]:
        answer = api.get(BREAKDOWN, group_by=by, **DAY).json
        assert answer["group_by"] == by
        assert answer["total"]["requests"] == sum(row["requests"] for row in answer["data"]) == 3
        return [(row["group"], row["name"], row["requests"]) for row in answer["data"]]

    assert named("key") == [(str(key.pk), "chatbot", 1), (str(gone), None, 1), (None, None, 1)]
    assert named("user") == [(str(owner.user.pk), "Olga Owner", 1), (str(gone), None, 1), (None, None, 1)]
    assert named("model") == [("a", "a", 2), (None, None, 1)]
    assert named("provider") == [("x", "x", 1), ("y", "y", 1), (None, None, 1)]
    assert named("policy") == [("cheap", "cheap", 1), (None, None, 2)]
    assert named("day") == [("2026-11-20", "2026-11-20", 3)]


def test_shares_are_of_the_total(api: ApiClient, workspace: Workspace) -> None:
    record(workspace, model="a", cost_usd=3)
    record(workspace, 1, model="b", cost_usd=1)
    record(workspace, 2, model="b", cost_usd=0)
    record(workspace, 3, model="b", cost_usd=0, provider="other")
    first, second, third = api.get(DISTRIBUTION, **DAY).json["data"]
    assert [(row["provider"], row["model"]) for row in (first, second, third)] == [
        ("openai", "b"), ("openai", "a"), ("other", "b"),
    ]  # fmt: skip
    assert [row["request_share"] for row in (first, second, third)] == [0.5, 0.25, 0.25]
    assert [row["cost_share"] for row in (first, second, third)] == [0.25, 0.75, 0]


def test_groups_come_in_pages(api: ApiClient, workspace: Workspace) -> None:
    for number in range(7):
        record(workspace, number, model=f"m{number}", cost_usd=number // 2)
    for path in (BREAKDOWN, DISTRIBUTION):
        found, cursor = [], None
        for _ in range(4):
            page = api.get(path, limit=2, **DAY, **({"cursor": cursor} if cursor else {})).json
            found += [row["model" if path == DISTRIBUTION else "group"] for row in page["data"]]
            cursor = page["next_cursor"]
        assert cursor is None
        assert len(found) == len(set(found)) == 7
        assert found == [row["model" if path == DISTRIBUTION else "group"] for row in api.get(path, **DAY).json["data"]]


FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "tiny"}, {"model": "tiny"}),
    ({"provider": "box"}, {"provider": "box"}),
    ({"policy": "cheap"}, {"policy": "cheap"}),
    ({"privacy": "local"}, {"privacy": "local"}),
    ({"cache": "hit"}, {"cache": "hit"}),
    ({"complexity": "expert"}, {"complexity": "expert"}),
    ({"key": UUID(int=1)}, {"key_id": UUID(int=1)}),
    ({"user": UUID(int=1)}, {"user_id": UUID(int=1)}),
]


@pytest.mark.parametrize(("query", "columns"), FILTERS, ids=lambda value: next(iter(value)))
def test_a_filter_sums_what_it_names_and_no_more(
    api: ApiClient, workspace: Workspace, query: dict[str, Any], columns: dict[str, Any]
) -> None:
    record(workspace)
    record(workspace, 1, **columns)
    assert api.get(OVERVIEW, **DAY, **query).json["requests"] == 1
    assert api.get(BREAKDOWN, **DAY, **query).json["total"]["requests"] == 1
    assert api.get(DISTRIBUTION, **DAY, **query).json["total"]["requests"] == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from": "yesterday"}, "from"), ({"to": "2026-13-01"}, "to"), ({"from": "\0"}, "from"),
        ({"from": "2026-11-21", "to": "2026-11-20"}, "from"),
        ({"from": "2025-01-01", "to": "2026-11-20"}, "from"), ({"from": "2001-01-01"}, "from"),
        ({"from": "1066-01-01"}, "from"), ({"to": "9999-12-31T23:59:59Z"}, "to"), ({"to": "0001-01-01"}, "to"),
        ({"from": "9999-12-31T23:59:59Z"}, "from"),
        ({"key": "5"}, "key"), ({"user": "\0"}, "user"), ({"model": "a\0"}, "model"), ({"model": "x" * 400}, "model"),
        ({"cache": "warm"}, "cache"), ({"privacy": "strict"}, "privacy"), ({"complexity": "7"}, "complexity"),
        # What rollups do not know would otherwise be left out of the condition unseen.
        ({"status": "404"}, "status"), ({"stream": "true"}, "stream"), ({"groupby": "model"}, "groupby"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value)[:30],
)  # fmt: skip
def test_bad_input_is_refused_by_name(api: ApiClient, path: str, query: dict[str, str], param: str) -> None:
    answer = api.get(path, **query)
    assert (answer.status, answer.error["param"]) == (400, param), answer


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"group_by": "hour"}, "group_by"), ({"group_by": "target"}, "group_by"), ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"), ({"cursor": "junk"}, "cursor"), ({"cursor": "WyJhIiwgIjEiLCAiYiJd"}, "cursor"),
        ({"cursor": "WyJOYU4iLCIxIiwiYiJd"}, "cursor"), ({"cursor": "WyIxZTk5OTk5IiwiMSIsImIiXQ"}, "cursor"),
        ({"cursor": "WyIxIiwiMSIsImFcdTAwMDAiXQ"}, "cursor"),
    ],
)  # fmt: skip
def test_a_breakdowns_own_bad_input_is_refused_by_name(api: ApiClient, query: dict[str, str], param: str) -> None:
    answer = api.get(BREAKDOWN, **query)
    assert (answer.status, answer.error["param"]) == (400, param), answer


@pytest.mark.parametrize("path", PATHS)
def test_who_may_read(path: str, anonymous: ApiClient, stranger: Caller, viewer: Caller, owner: Caller) -> None:
    record(owner.workspace)

    def requests(api: ApiClient) -> int:
        found = api.get(path, **DAY).json
        count: int = found["total" if path != OVERVIEW else "days"] and found.get("total", found)["requests"]
        return count

    assert (requests(ApiClient.of(viewer)), requests(ApiClient.of(stranger))) == (1, 0)
    assert anonymous.get(path).status == 401
    foreign = ApiClient.of(stranger)
    foreign.headers["x-workspace-id"] = str(owner.workspace.pk)
    assert foreign.get(path).status == 404
    assert ApiClient.of(owner).post(path).status == 405


@pytest.mark.parametrize(
    ("path", "query"),
    [(OVERVIEW, {}), (DISTRIBUTION, {}), *((BREAKDOWN, {"group_by": by}) for by in ("model", "key", "user", "day"))],
    ids=str,
)
def test_the_number_of_queries_does_not_grow_with_the_rows(
    api: ApiClient, owner: Caller, path: str, query: dict[str, str]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert (
                api.get(path, **{"from": "2026-11-20T06:00:00Z", "to": "2026-11-29T18:00:00Z"}, **query).status == 200
            )
        return len(captured)

    record(owner.workspace, user_id=owner.user.pk, key_id=uuid4())
    few = queries()
    for number in range(12):
        key, _ = services.create_key(owner, {"name": f"key {number}"})
        record(owner.workspace, number * 60 * 24, key_id=key.pk, model=f"m{number}")
    assert queries() == few


def test_sums_are_documented_with_an_example(api: ApiClient) -> None:
    schemas = api.get("/openapi.json").json["components"]["schemas"]
    for name in ("OverviewOut", "BreakdownOut", "DistributionOut"):
        example, members = schemas[name]["example"], schemas[name]["properties"]
        assert example.keys() == members.keys(), name
    assert "400 or more" in schemas["OverviewOut"]["properties"]["errors"]["description"]
