"""GET /health: the contract's shape, bounded in time, silent about addresses."""

import asyncio
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Workspace
from analytics import ledger
from gateway_project import health, heartbeat
from gateway_project.health import CHECK_SECONDS, KEPT_SECONDS, Monitor
from keys.models import Provider
from rag.embedding import wire

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "monitor", Monitor(health.CHECKS))
    heartbeat.beat(heartbeat.WORKER)
    heartbeat.beat(heartbeat.EMBEDDER)


def test_the_contracts_shape(client: Client) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "healthy"
    assert set(body["checks"]) == {"database", "vector_store", "cache", "broker", "worker", "backends"}
    assert body["timestamp"]


def test_only_reading_is_allowed(client: Client) -> None:
    assert client.post("/health").status_code == 405
    assert client.head("/health").status_code == 200


def test_backends_of_the_environment_alone_and_without_address(client: Client, workspace: Workspace) -> None:
    def provider(name: str, **fields: object) -> None:
        Provider.objects.create(**{"workspace": workspace, "kind": "vllm", "locality": "local", "name": name, **fields})

    now = timezone.now()
    provider("well", from_environment=True, discovered_at=now)
    provider("ill", from_environment=True, discovered_at=now, last_error="http://10.0.0.7:8000 refused the connection")
    provider("forgotten", from_environment=True, discovered_at=now - timedelta(hours=1))
    # Clouds are asked once an hour.
    provider("cloud", from_environment=True, kind="openai", discovered_at=now - timedelta(hours=2))
    provider("forgotten cloud", from_environment=True, kind="openai", discovered_at=now - timedelta(hours=4))
    provider("somebodys", discovered_at=now, last_error="no")
    body = client.get("/health").json()
    backends = {name: state for name, state in body["checks"]["backends"].items() if name != "demo"}
    late = "not checked lately"
    assert backends == {"well": "ok", "ill": "failing", "forgotten": late, "cloud": "ok", "forgotten cloud": late}
    assert body["status"] == "degraded"
    assert "10.0.0.7" not in str(body)


def test_a_worker_that_fell_silent_is_degraded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "STALE_SECONDS", -1.0)
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["worker"].startswith("last seen")


@pytest.mark.parametrize("name", [heartbeat.WORKER, heartbeat.EMBEDDER])
def test_a_worker_that_never_was_is_degraded(
    client: Client, monkeypatch: pytest.MonkeyPatch, name: str, settings: Settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    heartbeat.beat({heartbeat.WORKER: heartbeat.EMBEDDER, heartbeat.EMBEDDER: heartbeat.WORKER}[name])
    body = client.get("/health").json()
    assert body["status"] == "degraded"
    assert body["checks"]["worker"].endswith("not seen yet")
    assert body["checks"]["worker"].startswith("embedding") == (name == heartbeat.EMBEDDER)


class Answering(asyncio.Protocol):
    """A worker that has a fallback in use, as far as its list of models tells."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.reader = wire.Reader()

    def data_received(self, data: bytes) -> None:
        state = {"id": "small", "modality": "text", "fallback_for": "large", "note": "it is away", "default": True}
        for header, _ in self.reader.feed(data):
            self.transport.write(wire.encode({"id": header["id"], "models": [state]}))  # type: ignore[attr-defined]


def test_a_fallback_is_said_and_is_no_fault(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.EMBED_SOCKET = str(tmp_path / "embed.sock")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.create_unix_server(Answering, settings.EMBED_SOCKET))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        body = client.get("/health").json()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert body["notes"] == ["Texts are embedded by small instead of large: it is away."]
    assert body["status"] == "healthy"


def broken() -> str:
    raise ConnectionError("postgres://gateway:hunter2@db is away")


def test_without_a_database_it_is_503_and_says_no_secret(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "monitor", Monitor({**health.CHECKS, "database": broken}))
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert "hunter2" not in answer.content.decode()


def test_a_check_that_hangs_is_given_up_and_not_piled_up() -> None:
    started = []
    released = threading.Event()

    def hang() -> str:
        started.append(1)
        released.wait(30)
        return "ok"

    monitor = Monitor({"database": lambda: "ok", "broker": hang, "backends": dict})
    began = time.monotonic()
    try:
        assert monitor.report().body["checks"]["broker"].startswith("no answer")
        assert time.monotonic() - began < CHECK_SECONDS + 1
        time.sleep(KEPT_SECONDS + 0.1)
        assert monitor.report().body["status"] == "degraded"
        assert len(started) == 1
    finally:
        released.set()


def test_many_who_ask_at_once_get_one_report() -> None:
    runs = []

    def slow() -> str:
        runs.append(1)
        time.sleep(0.3)
        return "ok"

    monitor = Monitor({"database": slow, "backends": dict})
    threads = [threading.Thread(target=monitor.report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1


def test_while_nothing_can_be_entered_in_the_ledger_it_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.start()
    assert ledger._spool is not None
    monkeypatch.setattr(ledger._spool, "refusal", "The disk takes no usage records.")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "The disk takes no usage records.")
