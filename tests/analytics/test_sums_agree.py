"""Whatever was asked of the gateway: overview, breakdowns, list, CSV and records say the same, to the last decimal."""

import csv
import warnings
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.access import Caller
from analytics.models import UsageRecord
from analytics.period import Period
from analytics.sums import by_day, by_hour
from analytics.sums_sql import Question
from tests.analytics.ledger import record
from tests.api_client import ApiClient

START = datetime(2026, 10, 30, tzinfo=UTC)
IDS = [None, UUID(int=1), UUID(int=2)]
TOKENS = st.integers(0, 2_000_000)
USD = st.decimals(0, 1000, places=12)

# Midnights, the microseconds beside them, and anything between.
MOMENTS = st.builds(
    lambda days, off: START + timedelta(days=days) + off,
    st.integers(0, 4),
    st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1)])
    | st.timedeltas(timedelta(0), timedelta(days=1)),
)
REQUEST = st.fixed_dictionaries(
    {
        "created_at": MOMENTS,
        "key_id": st.sampled_from(IDS), "user_id": st.sampled_from(IDS),
        "provider": st.sampled_from(["", "x", "y"]), "model": st.sampled_from(["", "a", "b"]),
        "policy": st.sampled_from(["", "cheap"]), "privacy": st.sampled_from(["", "local", "cloud"]),
        "cache": st.sampled_from(["off", "miss", "hit", "semantic"]),
        "status": st.sampled_from([200, 404, 499, 503]), "stream": st.booleans(), "usage_estimated": st.booleans(),
        "prompt_tokens": TOKENS, "cached_tokens": TOKENS, "completion_tokens": TOKENS, "reasoning_tokens": TOKENS,
        "cost_usd": st.just(Decimal(0)) | USD, "saved_usd": st.just(Decimal(0)) | USD,
        "price": st.sampled_from([{"source": "unknown"}, {"source": "x"}, {}]),
        "latency_ms": st.integers(0, 5_000_000), "ttft_ms": st.none() | st.integers(0, 1000),
    }
)  # fmt: skip
PERIOD = st.tuples(MOMENTS, MOMENTS).map(sorted)
SUMMED = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cost_usd", "saved_usd")


def expected(rows: list[UsageRecord]) -> dict[str, Any]:
    """What the API should say that `rows` come to, added up one by one."""
    plain = {name: sum(getattr(row, name) for row in rows) for name in SUMMED}
    answered = [row for row in rows if row.status < 400]
    begun = [row.ttft_ms for row in answered if row.ttft_ms is not None]
    return plain | {
        "requests": len(rows),
        "errors": len(rows) - len(answered),
        "streams": sum(row.stream for row in rows),
        "estimated": sum(row.usage_estimated for row in rows),
        "unpriced": sum(
            row.cost_usd == 0 and row.prompt_tokens > 0 and row.price.get("source") == "unknown" for row in rows
        ),
        "total_tokens": sum(row.prompt_tokens + row.completion_tokens for row in rows),
        "cache_hits": sum(row.cache in ("hit", "semantic") for row in rows),
        "cache_asked": sum(row.cache != "off" for row in rows),
        "local": sum(row.privacy == "local" for row in rows),
        "ttft_ms": round(sum(begun) / len(begun)) if begun else None,
        "mean": round(sum(row.latency_ms for row in answered) / len(answered)) if answered else None,
    }


def told(shown: dict[str, Any]) -> dict[str, Any]:
    """The same of what the API says."""
    found = {name: shown[name] for name in expected([]) if name != "mean"}
    money = {name: Decimal(shown[name]) for name in ("cost_usd", "saved_usd")}
    return found | money | {"mean": shown["latency_ms"]["mean"]}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(mine=st.lists(REQUEST, max_size=14), others=st.lists(REQUEST, max_size=3), ends=PERIOD)
def test_everything_agrees(
    owner: Caller,
    stranger: Caller,
    mine: list[dict[str, Any]],
    others: list[dict[str, Any]],
    ends: list[datetime],
) -> None:
    with transaction.atomic():
        rows = [record(owner.workspace, **columns) for columns in mine]
        for columns in others:
            record(stranger.workspace, **columns)
        compare(owner, [row for row in rows if ends[0] <= row.created_at < ends[1]], ends)
        transaction.set_rollback(True)


def compare(caller: Caller, rows: list[UsageRecord], ends: list[datetime]) -> None:
    api = ApiClient.of(caller)
    period = {"from": ends[0].isoformat(), "to": ends[1].isoformat()}
    overview = api.get("/api/analytics/overview", **period).json
    assert told(overview) == expected(rows)
    for day in overview["days"]:
        assert told(day) == expected([row for row in rows if row.created_at.date().isoformat() == day["day"]])
    assert len(rows) == sum(day["requests"] for day in overview["days"])

    hours = by_hour(Question(caller, Period(*ends)), ends[1])
    assert hours.total == by_day(Question(caller, Period(*ends)), ends[1].date()).total
    for hour in hours.groups:
        within = [row for row in rows if row.created_at.replace(minute=0, second=0, microsecond=0) == hour.values[0]]
        assert (hour.sums.requests, hour.sums.cost_usd) == (len(within), sum(row.cost_usd for row in within))

    columns = {"model": "model", "provider": "provider", "policy": "policy", "key": "key_id", "user": "user_id"}
    for by, column in columns.items():
        answer = api.get("/api/analytics/cost-breakdown", group_by=by, **period).json
        assert told(answer["total"]) == expected(rows)
        groups = {group["group"]: told(group) for group in answer["data"]}
        values = {getattr(row, column) for row in rows}
        assert groups == {
            str(value) if value else None: expected([row for row in rows if getattr(row, column) == value])
            for value in values
        }
        assert [group["cost_usd"] for group in answer["data"]] == [
            group["cost_usd"] for group in sorted(answer["data"], key=lambda each: -Decimal(each["cost_usd"]))
        ]

    listed = api.get("/api/analytics/requests", limit=500, **period).json["data"]
    assert {row["id"] for row in listed} == {str(row.pk) for row in rows}
    response = api.http.get("/api/analytics/requests.csv", period, headers=api.headers)
    with warnings.catch_warnings(action="ignore"):
        exported = list(csv.DictReader(StringIO(b"".join(response).decode())))
    for table in (listed, exported):
        for name in SUMMED:
            assert sum(Decimal(row[name]) for row in table) == expected(rows)[name]


@pytest.mark.django_db
def test_sums_beyond_what_a_row_may_hold_are_exact(owner: Caller) -> None:
    most = {"prompt_tokens": 2**31 - 1, "cost_usd": Decimal("999999999999.999999999999")}
    for minutes in range(3):
        record(owner.workspace, minutes, **most)
    found = ApiClient.of(owner).get("/api/analytics/overview", **{"from": "2026-11-20", "to": "2026-11-21"}).json
    assert (found["prompt_tokens"], found["cost_usd"]) == (3 * (2**31 - 1), "2999999999999.999999999997")
