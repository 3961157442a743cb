"""A record that was entered reaches Postgres exactly once, whatever dies in between."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from analytics import ledger
from analytics.models import DailyUsage, UsageRecord
from analytics.spool import Spool
from gateway_project.lib.ids import uuid7
from keys.models import GatewayKey
from keys.usage import record_use
from tests.analytics.ledger import line, spooled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _keys_are_told(writer: None) -> None:
    ledger.on_enter(record_use)


def test_a_record_becomes_a_row_and_its_cost_the_keys(key: GatewayKey) -> None:
    first, second = spooled(key), spooled(key, error='a "quoted"\nerror with \\ and \x01')
    ledger.move(line(first) + line(second))

    row = UsageRecord.objects.get(id=second["id"])
    assert (row.error, row.metadata, row.cost_usd) == (second["error"], {"team": "a"}, Decimal("0.000010000001"))
    key.refresh_from_db()
    assert key.spent_usd == Decimal("0.000020000002")
    assert key.last_used_at == first["created_at"]


def test_moving_a_segment_again_changes_nothing(key: GatewayKey) -> None:
    segment = line(spooled(key)) + line(spooled(key))
    ledger.move(segment)
    ledger.move(segment)

    assert UsageRecord.objects.count() == 2
    key.refresh_from_db()
    assert key.spent_usd == Decimal("0.000020000002")


def test_a_record_that_is_refused_is_set_aside_and_the_others_go_on(
    key: GatewayKey, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    good = spooled(key)
    gone = spooled(key, workspace_id=str(uuid7()))
    cut = line(spooled(key))[:40]
    ledger.move(line(gone) + line(good) + cut)

    assert [str(row.id) for row in UsageRecord.objects.all()] == [good["id"]]
    refused = (tmp_path / "spool" / "refused.txt").read_bytes().splitlines()
    assert refused == [line(gone).strip(), cut]
    assert caplog.text.count("refused") >= 2


def test_a_record_that_is_nested_too_deeply_for_postgres_holds_up_nobody(
    key: GatewayKey, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    good = spooled(key)
    deep = b'{"id":"%b","attempts":%b%b}\n' % (str(uuid7()).encode(), b"[" * 20_000, b"]" * 20_000)
    ledger.move(deep + line(good))

    assert [str(row.id) for row in UsageRecord.objects.all()] == [good["id"]]
    assert (tmp_path / "spool" / "refused.txt").read_bytes() == deep


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 300, b"\0" * 300 + b"\n", b'{"id":"', b"\xff\xfe\n", b"null\n", b"[]\n", b"\n", b"\\.\n"],
    ids=repr,
)
def test_what_a_power_failure_left_of_a_line_is_set_aside_and_the_rest_entered(
    key: GatewayKey, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    good = [spooled(key) for _ in range(5)]
    ledger.move(b"".join(map(line, good)) + damage)
    assert {str(row.id) for row in UsageRecord.objects.all()} == {content["id"] for content in good}
    assert (tmp_path / "spool" / "refused.txt").read_bytes() == damage.rstrip(b"\n") + b"\n"
    assert caplog.text.count("was refused") == 1


@pytest.mark.parametrize("amount", ["NaN", "-0.000000000001", "Infinity", "1e12"])
@pytest.mark.parametrize("column", ["cost_usd", "saved_usd"])
def test_an_amount_that_is_none_spoils_no_sum(
    key: GatewayKey, settings: Any, tmp_path: Path, column: str, amount: str
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    good, bad = spooled(key), line(spooled(key, **{column: amount}))
    ledger.move(bad + line(good))
    assert (tmp_path / "spool" / "refused.txt").read_bytes() == bad
    assert [row.cost_usd for row in DailyUsage.objects.all()] == [Decimal(good["cost_usd"])]


def test_one_that_is_refused_among_thousands_costs_few_tries(
    key: GatewayKey, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    tries: list[int] = []
    enter = ledger._enter

    def counted(*arguments: Any) -> None:
        tries.append(1)
        enter(*arguments)

    monkeypatch.setattr(ledger, "_enter", counted)
    good = [spooled(key) for _ in range(1000)]
    gone = spooled(key, workspace_id=str(uuid7()))
    ledger.move(b"".join(map(line, [*good[:300], gone, *good[300:]])))
    assert UsageRecord.objects.count() == 1000
    assert len(tries) < 30


def test_what_a_killed_process_appended_is_taken_up_by_another(key: GatewayKey, tmp_path: Path) -> None:
    kept = spooled(key)
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom analytics.spool import Spool\n"
        "Spool(Path(sys.argv[1]), print).append(sys.argv[2].encode() + b'\\n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), line(kept).decode().strip()], cwd=Path.cwd(), check=False
    )
    assert died.returncode == -signal.SIGKILL
    assert not UsageRecord.objects.exists()

    Spool(tmp_path, ledger.move).flush()
    assert [str(row.id) for row in UsageRecord.objects.all()] == [kept["id"]]
    assert list(tmp_path.iterdir()) == []


def test_the_segment_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    moved: list[bytes] = []
    writer, other = Spool(tmp_path, moved.append), Spool(tmp_path, moved.append)
    writer.append(b"1\n")
    other.flush()
    assert moved == []

    writer.append(b"2\n")
    writer.flush()
    assert moved == [b"1\n2\n"]


def test_while_the_database_is_away_records_wait_on_disk(tmp_path: Path) -> None:
    moved: list[bytes] = []
    away = True

    def move(segment: bytes) -> None:
        if away:
            raise psycopg.OperationalError("the server is not there")
        moved.append(segment)

    spool = Spool(tmp_path, move)
    for content in (b"1\n", b"2\n"):
        spool.append(content)
        with pytest.raises(psycopg.OperationalError):
            spool.flush()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2

    away = False
    spool.flush()
    assert moved == [b"1\n", b"2\n"]
    assert os.listdir(tmp_path) == []


def test_a_dead_writers_segment_is_an_orphan_and_ones_own_is_none(tmp_path: Path) -> None:
    def away(segment: bytes) -> None:
        raise psycopg.OperationalError("the server is not there")

    spool = Spool(tmp_path, away)
    spool.append(b"1\n")
    assert not spool.orphans()
    with pytest.raises(psycopg.OperationalError):
        spool.flush()
    assert not spool.orphans()  # finished, and in this process's own books still
    other = Spool(tmp_path, lambda segment: None)
    assert other.orphans()

    other.flush()
    assert not other.orphans()
    assert os.listdir(tmp_path) == []


def test_a_segment_is_an_orphan_until_it_is_in_the_database(tmp_path: Path) -> None:
    seen: list[bool] = []
    (tmp_path / "00000000000000000001-1-1.jsonl").write_bytes(b"1\n")
    other = Spool(tmp_path, lambda segment: None)
    mover = Spool(tmp_path, lambda segment: seen.append(other.orphans()))
    mover.flush()
    assert (seen, other.orphans()) == ([True], False)
