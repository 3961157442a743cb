"""A record that was entered reaches Postgres exactly once, whatever dies in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from accounts.access import Caller
from analytics import ledger
from analytics.models import UsageRecord
from analytics.spool import Spool
from gateway_project.lib.ids import uuid7
from keys.models import GatewayKey
from keys.usage import record_use

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key(owner: Caller) -> GatewayKey:
    return GatewayKey.objects.create(workspace=owner.workspace, name="app")


@pytest.fixture(autouse=True)
def _own_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The writer's connection is this test's database's, and keys are told of their use."""
    monkeypatch.setattr(ledger, "_connection", None)
    monkeypatch.setattr(ledger, "_on_enter", [record_use])
    yield
    if ledger._connection is not None:
        ledger._connection.close()


def record(key: GatewayKey, **changed: Any) -> dict[str, Any]:
    """A record of a request that cost a thousandth of a cent."""
    return {
        "id": str(uuid7()), "workspace_id": str(key.workspace_id), "created_at": datetime(2026, 11, 21, 9, tzinfo=UTC),
        "key_id": str(key.id), "user_id": None, "client_request_id": "", "endpoint": "/v1/chat/completions",
        "requested_model": "auto", "provider": "p", "provider_kind": "openai", "model": "gpt-4o-mini", "stream": False,
        "complexity": "simple", "privacy": "cloud", "cache": "off", "policy": "", "status": 200, "error_code": "",
        "error": "", "attempts": [], "prompt_tokens": 10, "cached_tokens": 0, "completion_tokens": 5,
        "reasoning_tokens": 0, "usage_estimated": False, "cost_usd": "0.000010000001", "price": {"source": "x"},
        "latency_ms": 12, "ttft_ms": None, "metadata": {"team": "a"}, **changed,
    }  # fmt: skip


def line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content) + b"\n"


def test_a_record_becomes_a_row_and_its_cost_the_keys(key: GatewayKey) -> None:
    first, second = record(key), record(key, error='a "quoted"\nerror with \\ and \x01')
    ledger.move(line(first) + line(second))

    row = UsageRecord.objects.get(id=second["id"])
    assert (row.error, row.metadata, row.cost_usd) == (second["error"], {"team": "a"}, Decimal("0.000010000001"))
    key.refresh_from_db()
    assert key.spent_usd == Decimal("0.000020000002")
    assert key.last_used_at == first["created_at"]


def test_moving_a_segment_again_changes_nothing(key: GatewayKey) -> None:
    segment = line(record(key)) + line(record(key))
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
    good = record(key)
    gone = record(key, workspace_id=str(uuid7()))
    cut = line(record(key))[:40]
    ledger.move(line(gone) + line(good) + cut)

    assert [str(row.id) for row in UsageRecord.objects.all()] == [good["id"]]
    refused = (tmp_path / "spool" / "refused.txt").read_bytes().splitlines()
    assert refused == [line(gone).strip(), cut]
    assert caplog.text.count("refused") >= 2


def test_what_a_killed_process_appended_is_taken_up_by_another(key: GatewayKey, tmp_path: Path) -> None:
    kept = record(key)
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
