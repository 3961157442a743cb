"""What the requests of a period come to: whole days from rollups, cut days from records."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.access import Caller
from analytics.models import LedgerClock, UsageRecord
from analytics.period import Period
from analytics.queries import Filters
from analytics.sums import ORDERS, Group, Sums, breakdown, by_day
from analytics.sums_sql import Question
from gateway_project.lib.errors import InvalidRequest
from tests.analytics.ledger import NOON, record

DAY = timedelta(days=1)
TODAY = date(2026, 11, 20)


def summed(caller: Caller, since: datetime = NOON, until: datetime | None = NOON + DAY, **filters: Any) -> Group:
    return by_day(Question(caller, Period(since, until), Filters(**filters)), TODAY).total


def test_a_period_is_summed(owner: Caller, stranger: Caller) -> None:
    for minutes, latency in enumerate((100, 200, 300, 400, 5000)):
        record(owner.workspace, minutes, latency_ms=latency)
    nothing = {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "reasoning_tokens": 0, "cost_usd": 0}
    record(owner.workspace, 5, status=503, latency_ms=90_000, **nothing)
    record(owner.workspace, 60 * 24, prompt_tokens=7)  # after the period
    record(stranger.workspace, 1, prompt_tokens=7)
    found = summed(owner)
    assert (found.sums.requests, found.sums.errors, found.sums.answered) == (6, 1, 5)
    assert (found.sums.prompt_tokens, found.sums.completion_tokens, found.sums.tokens) == (6000, 1500, 7500)
    assert (found.sums.cached_tokens, found.sums.reasoning_tokens) == (5000, 500)
    assert found.sums.cost_usd == Decimal("0.016875")
    assert (found.sums.mean_ms, found.sums.mean_ttft_ms) == (1200, 200)
    assert found.p50_ms == pytest.approx(300, rel=0.1)
    assert found.p95_ms == pytest.approx(5000, rel=0.1)


def test_an_empty_period_is_nothing(owner: Caller) -> None:
    assert summed(owner) == Group((None,), Sums())


def test_requests_of_unknown_price_are_counted_beside_the_sum(owner: Caller) -> None:
    nobody_knows: dict[str, Any] = {"cost_usd": 0, "price": {"source": "unknown"}}
    record(owner.workspace)
    record(owner.workspace, 1, **nobody_knows)
    record(owner.workspace, 2, **nobody_knows | {"prompt_tokens": 0})  # nothing that could cost
    record(owner.workspace, 3, **nobody_knows | {"price": {"source": "local"}})
    assert (summed(owner).sums.unpriced, summed(owner).sums.cost_usd) == (1, Decimal("0.003375"))


def test_what_the_cache_did_is_counted(owner: Caller) -> None:
    for minutes, cache in enumerate(("off", "miss", "miss", "hit", "semantic")):
        record(owner.workspace, minutes, cache=cache, saved_usd=Decimal("0.01") if minutes > 2 else 0)
    found = summed(owner).sums
    assert (found.cache_hits, found.cache_asked, found.saved_usd) == (2, 4, Decimal("0.02"))


def test_days_without_requests_are_there(owner: Caller) -> None:
    record(owner.workspace, -60 * 24)
    record(owner.workspace, 60 * 24)
    record(owner.workspace, 60 * 24 + 1, status=500)
    start = datetime(2026, 11, 19, tzinfo=UTC)
    days = by_day(Question(owner, Period(start, start + 3 * DAY)), TODAY).groups
    assert [(day.values[0], day.sums.requests, day.sums.errors) for day in days] == [
        (date(2026, 11, 19), 1, 0),
        (date(2026, 11, 20), 0, 0),
        (date(2026, 11, 21), 2, 1),
    ]


def test_a_period_without_end_goes_up_to_today_and_to_what_is_later_by_another_clock(owner: Caller) -> None:
    record(owner.workspace, 60 * 24 * 3)
    question = Question(owner, Period(NOON - DAY))
    assert [day.values[0].day for day in by_day(question, TODAY).groups] == [19, 20, 23]
    assert by_day(question, TODAY).total.sums.requests == 1


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-11-19T12:00:00", "2026-11-21T12:00:00", [-60, 0, 60, 720, 1439]),  # two cut days around a whole one
        ("2026-11-20T00:00:00", "2026-11-21T00:00:00", [-60, 0, 60]),  # one whole day
        ("2026-11-20T12:00:00", "2026-11-20T13:00:00", [0]),  # within a day
        ("2026-11-20T11:00:00", "2026-11-20T11:00:00", []),  # no time at all
        ("2026-11-20T11:00:00", "2026-11-21T00:00:00", [-60, 0, 60]),
        ("2026-11-20T11:00:00.000001", "2026-11-21T00:00:00.000001", [0, 60, 720]),
        ("2026-11-20T12:30:00", "2026-11-21T06:00:00", [60, 720]),  # a piece of each of two days
    ],
)
def test_cut_days_count_what_lies_in_the_period(owner: Caller, since: str, until: str, expected: list[int]) -> None:
    for minutes in (-60, 0, 60, 720, 1439, 1440):  # 11, 12, 13 h; midnight; 11:59 and 12 h of the next day
        record(owner.workspace, minutes, prompt_tokens=2 ** exponent(minutes))
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (since, until))
    found = summed(owner, start, end)
    assert (found.sums.requests, found.sums.prompt_tokens) == (len(expected), sum(2 ** exponent(at) for at in expected))
    assert (found.p50_ms is None) == (not expected)


def exponent(minutes: int) -> int:
    return (-60, 0, 60, 720, 1439, 1440).index(minutes)


def test_a_cut_day_whose_records_are_gone_is_refused_and_a_whole_one_is_summed(owner: Caller) -> None:
    record(owner.workspace)
    UsageRecord.objects.all().delete()
    LedgerClock.objects.update_or_create(defaults={"kept_since": date(2026, 11, 21)})
    for since, until, param in ((NOON, NOON + 2 * DAY, "from"), (NOON.replace(hour=0), NOON, "to")):
        with pytest.raises(InvalidRequest, match="2026-11-21") as refused:
            summed(owner, since, until)
        assert refused.value.param == param
    assert summed(owner, NOON.replace(hour=0), NOON.replace(hour=0) + DAY).sums.requests == 1


FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "tiny"}, {"model": "tiny"}),
    ({"provider": "box"}, {"provider": "box"}),
    ({"policy": "cheap"}, {"policy": "cheap"}),
    ({"privacy": "local"}, {"privacy": "local"}),
    ({"cache": "hit"}, {"cache": "hit"}),
    ({"complexity": "expert"}, {"complexity": "expert"}),
    ({"key": UUID(int=1)}, {"key_id": UUID(int=1)}),
    ({"user": UUID(int=1)}, {"user_id": UUID(int=1)}),
    ({"key": UUID(int=1), "model": "tiny"}, {"key_id": UUID(int=1), "model": "tiny"}),
]


@pytest.mark.parametrize(("filters", "columns"), FILTERS, ids=lambda value: "+".join(value))
@pytest.mark.parametrize("since", [NOON, NOON.replace(hour=0)], ids=["cut", "whole"])
def test_a_filter_counts_what_it_names_and_no_more(
    owner: Caller, filters: dict[str, Any], columns: dict[str, Any], since: datetime
) -> None:
    record(owner.workspace)
    record(owner.workspace, 1, **columns)
    found = summed(owner, since, **filters)
    assert (found.sums.requests, found.p50_ms) == (1, found.p95_ms and pytest.approx(800, rel=0.1))


def groups(caller: Caller, by: str, **options: Any) -> list[tuple[Any, ...]]:
    question = Question(caller, Period(NOON.replace(hour=0)))
    return [(*group.values, group.sums.requests) for group in breakdown(question, by, **options).groups]


def test_groups_come_with_the_most_first(owner: Caller) -> None:
    key, user = uuid4(), uuid4()
    record(owner.workspace, model="free", provider="box", cost_usd=0, key_id=key)
    record(owner.workspace, 1, model="free", provider="box", cost_usd=0, policy="cheap", latency_ms=100)
    record(owner.workspace, 2, model="dear", user_id=user, saved_usd=1)
    assert groups(owner, "model") == [("dear", 1), ("free", 2)]
    assert groups(owner, "model", order="requests") == [("free", 2), ("dear", 1)]
    assert groups(owner, "provider") == [("openai", 1), ("box", 2)]
    assert groups(owner, "target") == [("openai", "dear", 1), ("box", "free", 2)]
    assert groups(owner, "key") == [(None, 2), (key, 1)]
    assert groups(owner, "user") == [(user, 1), (None, 2)]
    assert groups(owner, "policy") == [("", 2), ("cheap", 1)]
    assert groups(owner, "day") == [(TODAY, 3)]


def test_groups_have_their_own_percentiles_and_the_total_is_over_all(owner: Caller) -> None:
    for model, latency in (("slow", 9000), ("fast", 90), ("failing", 5)):
        for _ in range(3):
            record(owner.workspace, model=model, latency_ms=latency, status=500 if model == "failing" else 200)
    found = breakdown(Question(owner, Period(NOON - DAY)), "model", limit=2, order="tokens")
    assert found.total.sums.requests == 9
    percentiles = {group.values[0]: group.p95_ms for group in found.groups}
    assert percentiles.keys() == {"failing", "fast"}
    assert percentiles["failing"] is None
    assert percentiles["fast"] == pytest.approx(90, rel=0.1)


def test_a_cursor_goes_on_where_the_page_ended(owner: Caller) -> None:
    costs = [3, 1, 1, 1, 2, 0]
    for number, cost in enumerate(costs):
        record(owner.workspace, number, model=f"m{number}", cost_usd=cost)
    record(owner.workspace, 9, model="m3", cost_usd=0)  # of those that cost 1 it has the most requests
    question, seen, cursor = Question(owner, Period(NOON - DAY)), [], ""
    for _ in range(3):
        page = breakdown(question, "model", limit=2, cursor=cursor)
        assert page.total.sums.requests == 7
        seen += [group.values[0] for group in page.groups]
        cursor = page.next_cursor or ""
    assert (seen, cursor) == (["m0", "m4", "m3", "m1", "m2", "m5"], "")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("since", [NOON, NOON.replace(hour=0)], ids=["cut", "whole"])
def test_each_page_of_keys_has_its_own_sums_whatever_it_is_ordered_by(
    owner: Caller, order: str, since: datetime
) -> None:
    keys = [None, UUID(int=1), UUID(int=2)]
    for number, key in enumerate(keys, 1):
        columns = {"prompt_tokens": number, "cost_usd": number, "saved_usd": number, "latency_ms": 100 * number}
        for minutes in range(number):
            record(owner.workspace, minutes, key_id=key, **columns)
            record(owner.workspace, minutes, key_id=key, status=500)
    question, seen, cursor = Question(owner, Period(since)), [], ""
    for _ in keys:
        page = breakdown(question, "key", order=order, limit=1, cursor=cursor)
        seen += page.groups
        cursor = page.next_cursor or ""
    assert [(group.values[0], group.sums.requests) for group in seen] == [(keys[2], 6), (keys[1], 4), (None, 2)]
    assert [group.p50_ms for group in seen] == [pytest.approx(ms, rel=0.1) for ms in (300, 200, 100)]
    assert cursor == ""
