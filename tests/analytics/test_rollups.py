"""The sums by day: kept as records are entered, and the same to the last decimal when they are made anew."""

import math
import random
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import ledger, rollups
from analytics.models import DailyTotal, DailyUsage, LedgerClock, UsageRecord
from gateway_project.lib import database
from gateway_project.lib.ids import uuid7
from keys.models import GatewayKey
from tests.analytics.ledger import line, spooled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("writer")]

KEYS = [str(uuid7()), str(uuid7()), None]
USD = st.decimals(0, 1000, places=12)
TOKENS = st.integers(0, 2_000_000)

REQUESTS = st.lists(
    st.fixed_dictionaries(
        {
            "created_at": st.datetimes(datetime(2026, 10, 30), datetime(2026, 11, 3), timezones=st.just(UTC)),
            "key_id": st.sampled_from(KEYS),
            "user_id": st.sampled_from(KEYS),
            "model": st.sampled_from(["a", "b"]),
            "cache": st.sampled_from(["hit", "miss"]),
            "status": st.sampled_from([200, 404, 503]),
            "stream": st.booleans(),
            "usage_estimated": st.booleans(),
            "prompt_tokens": TOKENS,
            "completion_tokens": TOKENS,
            "cost_usd": USD.map(str) | st.just("0"),
            "saved_usd": USD.map(str),
            "price": st.sampled_from([{"source": "unknown"}, {"source": "x"}, {}]),
            "latency_ms": st.integers(0, 5_000_000),
            "ttft_ms": st.none() | st.integers(0, 1000),
        }
    ),
    max_size=12,
)  # fmt: skip


def rows(model: type[DailyUsage] | type[DailyTotal]) -> list[tuple[Any, ...]]:
    """All of a table's rows but for their numbers."""
    names = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
    return sorted(model.objects.values_list(*names), key=repr)


def both() -> list[list[tuple[Any, ...]]]:
    return [rows(DailyUsage), rows(DailyTotal)]


def make_anew(first: date | None = None, last: date | None = None) -> list[date]:
    with database.connect("test") as connection:
        return list(rollups.rebuild(connection, first, last))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches=st.lists(REQUESTS, max_size=4))
def test_kept_or_made_anew_they_are_the_same(key: GatewayKey, batches: list[list[dict[str, Any]]]) -> None:
    for table in (UsageRecord, DailyUsage, DailyTotal):
        table.objects.all().delete()
    for batch in batches:
        ledger.move(b"".join(line(spooled(key, **columns)) for columns in batch))
    kept = both()
    make_anew()
    assert both() == kept

    entered = [columns for batch in batches for columns in batch]
    for model in (DailyUsage, DailyTotal):
        sums = model.objects.aggregate(cost=Sum("cost_usd"), saved=Sum("saved_usd"), requests=Sum("requests"))
        assert (sums["cost"] or 0) == sum(Decimal(columns["cost_usd"]) for columns in entered)
        assert (sums["saved"] or 0) == sum(Decimal(columns["saved_usd"]) for columns in entered)
        assert (sums["requests"] or 0) == len(entered)


def test_a_row_says_what_its_day_came_to(key: GatewayKey) -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    unknown = {"source": "unknown"}
    ledger.move(
        line(spooled(key, stream=True, ttft_ms=7, created_at=midnight - timedelta(microseconds=1), saved_usd="0.5"))
        + line(spooled(key, cost_usd="0", price=unknown, latency_ms=13, created_at=midnight - timedelta(hours=23)))
    )
    ledger.move(
        line(spooled(key, status=503, latency_ms=9000, usage_estimated=True, created_at=midnight - timedelta(hours=1)))
    )
    ledger.move(line(spooled(key, created_at=midnight)))

    first, second = DailyUsage.objects.order_by("day")
    assert (first.day, second.day, str(first.key_id)) == (date(2026, 11, 21), date(2026, 11, 22), str(key.pk))
    assert (first.requests, first.errors, first.streams, first.estimated, first.unpriced) == (3, 1, 1, 1, 1)
    assert (first.prompt_tokens, first.completion_tokens) == (30, 15)
    assert (first.cost_usd, first.saved_usd) == (Decimal("0.000020000002"), Decimal("0.5"))
    assert (first.latency_ms_sum, first.ttft_ms_sum, first.ttft_count) == (25, 7, 1)
    assert [count for count in first.latency_hist if count] == [1, 1]
    assert rollups.percentile(first.latency_hist, 0.5) == 11  # of 11 or 12 ms
    assert [(row.day, row.requests) for row in DailyTotal.objects.order_by("day")] == [(first.day, 3), (second.day, 1)]


@given(st.lists(st.integers(0, 1_000_000), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_right_within_a_tenth(latencies: list[int], share: float) -> None:
    hist: list[int | None] = [None] * (len(rollups.BOUNDS) + 1)
    for ms in latencies:
        bucket = sum(bound <= ms for bound in rollups.BOUNDS)
        hist[bucket] = (hist[bucket] or 0) + 1
    exact = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
    found = rollups.percentile(hist, share)
    assert found is not None
    assert found == pytest.approx(exact, rel=0.1, abs=1)


def test_no_latencies_have_no_percentile() -> None:
    assert rollups.percentile([], 0.5) is None
    assert rollups.percentile([None, 0], 0.5) is None


def test_a_record_of_an_older_version_is_entered(key: GatewayKey) -> None:
    assert "saved_usd" not in spooled(key)
    ledger.move(line(spooled(key)))
    found = UsageRecord.objects.get()
    assert found.saved_usd == 0
    assert found.grounding is None


def test_what_is_moved_again_counts_once(key: GatewayKey) -> None:
    segment = line(spooled(key)) + line(spooled(key))
    ledger.move(segment)
    kept = both()
    ledger.move(segment)
    assert both() == kept


def test_those_who_wait_hear_of_each_record_when_it_counts(key: GatewayKey) -> None:
    heard: list[tuple[int, list[str], int]] = []
    ledger.after_enter(lambda batch, ids: heard.append((batch, ids, LedgerClock.objects.get().batch)))
    first, second = spooled(key), spooled(key)
    ledger.move(line(first) + line(second))
    ledger.move(line(second))
    assert heard == [(1, [first["id"], second["id"]], 1), (2, [second["id"]], 2)]


def test_who_waits_for_a_refused_record_is_told(key: GatewayKey, tmp_path: Any, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    heard: list[str] = []
    ledger.after_enter(lambda batch, ids: heard.extend(ids))
    gone, good = spooled(key, workspace_id=str(uuid7())), spooled(key)
    ledger.move(line(gone) + b'{"cut' + b"\n" + line(good))
    assert sorted(heard) == sorted([gone["id"], good["id"]])


def test_who_waits_for_nothing_is_not_told(key: GatewayKey) -> None:
    heard: list[int] = []
    waits = [False]
    ledger.after_enter(lambda batch, ids: heard.append(batch), waits=lambda: waits[0])
    ledger.move(line(spooled(key)))
    waits[0] = True
    ledger.move(line(spooled(key)))
    assert heard == [2]


def test_one_who_fails_keeps_nothing_from_the_others(key: GatewayKey, caplog: pytest.LogCaptureFixture) -> None:
    def fail(batch: int, ids: list[str]) -> None:
        raise ValueError(batch)

    heard: list[int] = []
    ledger.after_enter(fail)
    ledger.after_enter(lambda batch, ids: heard.append(batch))
    ledger.move(line(spooled(key)))
    assert heard == [1]
    assert "batch 1 failed" in caplog.text


def test_a_part_is_made_anew(key: GatewayKey) -> None:
    for day in (20, 21, 22):
        ledger.move(line(spooled(key, created_at=datetime(2026, 11, day, tzinfo=UTC))))
    DailyUsage.objects.update(requests=99)
    said = StringIO()
    call_command("rebuild_rollups", "--from", "2026-11-21", "--to", "2026-11-21", stdout=said)
    assert list(DailyUsage.objects.order_by("day").values_list("requests", flat=True)) == [99, 1, 99]
    assert said.getvalue() == "The sums of 1 day were made anew.\n"
    assert make_anew() == [date(2026, 11, day) for day in (20, 21, 22)]


@pytest.mark.parametrize("period", [["--from", "yesterday"], ["--from", "2026-11-22", "--to", "2026-11-21"]])
def test_a_period_that_is_none_is_refused(period: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("rebuild_rollups", *period)


def test_days_whose_records_were_dropped_keep_what_they_came_to(key: GatewayKey) -> None:
    for day in (20, 21):
        ledger.move(line(spooled(key, created_at=datetime(2026, 11, day, tzinfo=UTC))))
    LedgerClock.objects.update(kept_since=date(2026, 11, 21))
    UsageRecord.objects.filter(created_at__lt=datetime(2026, 11, 21, tzinfo=UTC)).delete()
    kept = both()
    assert make_anew() == [date(2026, 11, 21)]
    assert both() == kept


def test_a_sum_without_records_is_taken_away(key: GatewayKey) -> None:
    ledger.move(line(spooled(key)))
    UsageRecord.objects.all().delete()
    make_anew()
    assert both() == [[], []]


@pytest.mark.parametrize("seed", range(3))
def test_batches_are_entered_while_they_are_made_anew(key: GatewayKey, seed: int) -> None:
    """Two writers and two who rebuild, all at once: nothing is lost, nothing counts twice."""
    chosen = random.Random(seed)
    failures: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (shown by the test)
            failures.append(error)

    def write() -> None:
        with database.connect("test writer") as connection:
            ledger.stage(connection)
            for _ in range(20):
                day = datetime(2026, 11, chosen.randint(20, 22), tzinfo=UTC)
                ledger._enter(connection, b"".join(line(spooled(key, created_at=day)) for _ in range(3)))

    def again() -> None:
        for _ in range(5):
            make_anew()

    threads = [threading.Thread(target=guarded, args=[work]) for work in (write, again, write, again)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    kept = both()
    assert DailyTotal.objects.aggregate(requests=Sum("requests"))["requests"] == 120
    make_anew()
    assert both() == kept


def test_the_clock_counts_on_when_a_batch_is_rolled_back(key: GatewayKey) -> None:
    def fail(cursor: "psycopg.Cursor[Any]") -> None:
        raise psycopg.OperationalError("away")

    ledger.move(line(spooled(key)))
    ledger.on_enter(fail)
    with pytest.raises(psycopg.OperationalError):
        ledger.move(line(spooled(key)))
    assert (LedgerClock.objects.get().batch, DailyTotal.objects.get().requests) == (1, 1)
