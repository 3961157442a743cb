"""The ledger's months: made ahead and when they are needed, dropped as a whole, and each id in one of them, once."""

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection as django_connection
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from analytics import ledger, partitions, retention
from analytics.models import DailyTotal, LedgerClock, UsageRecord
from analytics.tasks import keep_ledger
from gateway_project.lib import database
from gateway_project.lib.ids import uuid7, uuid7_text
from keys.models import GatewayKey
from tests.analytics.ledger import line, spooled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("writer")]


@pytest.fixture
def database_connection() -> Any:
    with database.connect("test") as connection:
        yield connection


@pytest.fixture(autouse=True)
def _months_are_as_before(database_connection: psycopg.Connection[Any]) -> Any:
    yield
    odd = set(partitions.existing(database_connection)) - set(partitions.current())
    partitions.drop(database_connection, odd)
    partitions.ensure(database_connection, partitions.current())


def test_months_are_there_ahead_and_named_by_their_month(database_connection: psycopg.Connection[Any]) -> None:
    this = partitions.month_of(datetime.now(UTC))
    assert set(partitions.existing(database_connection)) >= {this, partitions.after(this), partitions.after(this, 2)}
    with django_connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", [f"analytics_usagerecord_{this:%Y_%m}"])
        assert f"usage_newest_{this:%Y_%m}" in {name for (name,) in cursor.fetchall()}


def test_the_beat_makes_what_is_missing(database_connection: psycopg.Connection[Any]) -> None:
    month = partitions.current()[-1]
    partitions.drop(database_connection, [month])
    keep_ledger()
    assert month in partitions.existing(database_connection)
    assert retention.make_ahead(database_connection) == []


@pytest.mark.parametrize(
    "at",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2019, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2031, 1, 1, tzinfo=UTC),
        datetime(9998, 12, 31, tzinfo=UTC),
    ],
    ids=str,
)
def test_whatever_the_clock_says_a_record_is_entered(key: GatewayKey, at: datetime) -> None:
    now = spooled(key)
    odd = spooled(key, created_at=at)
    ledger.move(line(now) + line(odd))
    assert set(UsageRecord.objects.values_list("created_at", flat=True)) == {now["created_at"], at}
    assert set(DailyTotal.objects.values_list("day", "requests")) == {(now["created_at"].date(), 1), (at.date(), 1)}


def test_records_with_a_month_and_refused_ones_are_told_apart(key: GatewayKey, tmp_path: Any, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    good = [spooled(key, created_at=datetime(2020, month, 1, tzinfo=UTC)) for month in range(1, 13)]
    bad = [spooled(key, created_at="never"), spooled(key, created_at=None), spooled(key, latency_ms=-1)]
    bad.append(spooled(key, created_at="9999-12-31T23:59:59+00:00"))
    lines = [line(content) for pair in zip(good, bad * 3, strict=True) for content in pair]
    ledger.move(b"".join(lines))
    assert {str(row.id) for row in UsageRecord.objects.all()} == {content["id"] for content in good}
    assert len((tmp_path / "spool" / "refused.txt").read_bytes().splitlines()) == 12


def test_two_writers_make_one_month(key: GatewayKey) -> None:
    """Both find that it is missing; the clock lets one make it, and the other one finds it made."""
    failures: list[BaseException] = []

    def enter(content: dict[str, Any]) -> None:
        try:
            with database.connect("test writer") as connection:
                ledger.stage(connection)
                together.wait()
                ledger._make_months(connection, line(content))
                ledger._enter(connection, line(content))
        except BaseException as error:  # noqa: BLE001  (shown by the test)
            failures.append(error)

    together = threading.Barrier(4)
    contents = [spooled(key, created_at=datetime(2021, 5, 5, tzinfo=UTC)) for _ in range(4)]
    threads = [threading.Thread(target=enter, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert UsageRecord.objects.count() == 4


def test_an_id_is_entered_once_whatever_time_comes_with_it(key: GatewayKey) -> None:
    first = spooled(key)
    again = [first | {"created_at": first["created_at"] + timedelta(days=days), "cost_usd": "5"} for days in (0, 1, 60)]
    ledger.move(line(first))
    ledger.move(b"".join(map(line, again)))
    assert UsageRecord.objects.get().cost_usd == Decimal("0.000010000001")
    assert DailyTotal.objects.get().requests == 1


def test_of_two_lines_with_one_id_the_first_is_entered(key: GatewayKey) -> None:
    first = spooled(key)
    other = first | {"created_at": first["created_at"] - timedelta(days=1), "cost_usd": "5"}
    ledger.move(line(first) + line(other))
    assert UsageRecord.objects.get().created_at == first["created_at"]
    assert DailyTotal.objects.get().cost_usd == Decimal("0.000010000001")


def test_two_writers_with_one_record_enter_it_once(key: GatewayKey) -> None:
    def enter() -> None:
        with database.connect("test writer") as connection:
            ledger.stage(connection)
            together.wait()
            ledger._enter(connection, segment)

    contents = [spooled(key) for _ in range(50)]
    segment = b"".join(map(line, contents))
    together = threading.Barrier(4)
    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert UsageRecord.objects.count() == 50
    assert DailyTotal.objects.get().requests == 50


def test_the_look_up_of_ids_goes_by_index(key: GatewayKey) -> None:
    """Also before Postgres knows how many records there are: entering a batch must not read the ledger."""
    ledger.move(b"".join(line(spooled(key)) for _ in range(2000)))
    assert ledger._connection is not None
    plan = "\n".join(row[0] for row in ledger._connection.execute(sql.SQL("EXPLAIN ") + ledger.ENTER).fetchall())
    assert "Seq Scan on analytics_usagerecord_2026_11 " not in plan, plan


class TestRetention:
    """Months go when all of their days are past it, and what they came to stays."""

    TODAY = date(2026, 11, 21)

    @pytest.fixture(autouse=True)
    def _records(self, key: GatewayKey) -> None:
        days = (date(2026, 5, 31), date(2026, 8, 1), date(2026, 8, 31), date(2026, 9, 1), self.TODAY)
        for day in days:
            ledger.move(line(spooled(key, created_at=datetime(day.year, day.month, day.day, 12, tzinfo=UTC))))

    def kept(self) -> list[str]:
        return [f"{at:%m-%d}" for at in UsageRecord.objects.order_by("created_at").values_list("created_at", flat=True)]

    @pytest.mark.parametrize(
        ("days", "kept"),
        [
            (0, ["05-31", "08-01", "08-31", "09-01", "11-21"]),
            (82, ["08-01", "08-31", "09-01", "11-21"]),
            (81, ["09-01", "11-21"]),
            (1, ["11-21"]),
        ],
    )
    def test_what_goes(
        self, database_connection: psycopg.Connection[Any], settings: Any, days: int, kept: list[str]
    ) -> None:
        settings.RETENTION_DAYS = days
        retention.drop_expired(database_connection, self.TODAY)
        assert self.kept() == kept
        assert sum(DailyTotal.objects.values_list("requests", flat=True)) == 5
        assert retention.drop_expired(database_connection, self.TODAY) == []

    def test_the_clock_knows_since_when_records_are_kept(
        self, database_connection: psycopg.Connection[Any], settings: Any
    ) -> None:
        settings.RETENTION_DAYS = 81
        retention.drop_expired(database_connection, self.TODAY)
        assert LedgerClock.objects.get().kept_since == date(2026, 9, 1)
        settings.RETENTION_DAYS = 365
        retention.drop_expired(database_connection, self.TODAY)
        assert LedgerClock.objects.get().kept_since == date(2026, 9, 1)

    def test_one_that_comes_late_is_counted_and_goes_again(
        self, database_connection: psycopg.Connection[Any], settings: Any, key: GatewayKey
    ) -> None:
        settings.RETENTION_DAYS = 81
        retention.drop_expired(database_connection, self.TODAY)
        ledger.move(line(spooled(key, created_at=datetime(2026, 8, 1, 12, tzinfo=UTC))))
        assert self.kept() == ["08-01", "09-01", "11-21"]
        assert DailyTotal.objects.get(day=date(2026, 8, 1)).requests == 2
        assert retention.drop_expired(database_connection, self.TODAY) == [date(2026, 8, 1)]
        assert LedgerClock.objects.get().kept_since == date(2026, 9, 1)

    def test_a_month_that_is_read_goes_next_time(
        self, database_connection: psycopg.Connection[Any], settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.RETENTION_DAYS = 81
        with database.connect("test reader") as reader, reader.transaction():
            reader.execute("SELECT count(*) FROM analytics_usagerecord")
            assert retention.drop_expired(database_connection, self.TODAY) == []
        assert "being read" in caplog.text
        assert LedgerClock.objects.get().kept_since is None
        assert retention.drop_expired(database_connection, self.TODAY) == [date(2026, 5, 1), date(2026, 8, 1)]


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 11, 30), timezones=st.just(UTC)), st.integers(-5, 5))
def test_months_follow_each_other(at: datetime, count: int) -> None:
    month = partitions.month_of(at)
    assert month <= at.date() < partitions.after(month)
    if 2 <= at.year < 9999:
        assert partitions.after(partitions.after(month, count), -count) == month


def test_an_id_tells_when_its_request_arrived() -> None:
    for id in (uuid7(), UUID(uuid7_text())):
        around = partitions.near(id)
        assert around is not None
        assert around[0] < datetime.now(UTC) < around[1]
    for no_time in ("c4ca4238a0b923820dcc509a6f75849b", "ffffffff-ffff-7fff-bfff-ffffffffffff"):
        assert partitions.near(UUID(no_time)) is None
