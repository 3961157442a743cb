"""Two web processes and a Redis: one gateway to everybody who uses it."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.gateway.account import Account
from tests.platform.conftest import Start
from tests.platform.gateway import Gateway, wait_until
from tests.redis_server import running_redis

CHAT = "/v1/chat/completions"
QUESTION = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]})


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """A Redis of its own: its URL."""
    with running_redis() as server:
        yield server.url


@pytest.fixture(scope="module")
def gateway(start_shared: Start, redis: str) -> Gateway:
    return start_shared(WEB_WORKERS="2", REDIS_URL=redis).ready()


class Connection:
    """A keep-alive connection to the gateway, which stays with the process that took it."""

    def __init__(self, gateway: Gateway) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", int(gateway.port), timeout=20)
        self.http.connect()
        self.port: int = self.http.sock.getsockname()[1]

    def ask(self, method: str, path: str, *, key: str = "", body: str = "") -> tuple[int, str]:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        self.http.request(method, path, body or None, headers)
        answer = self.http.getresponse()
        return answer.status, answer.read().decode()

    def chat(self, key: str) -> int:
        return self.ask("POST", CHAT, key=key, body=QUESTION)[0]

    def wait_for(self, status: int, key: str) -> None:
        """Ask until the answer has this status, within the five seconds that a key's change may take."""
        wait_until(lambda: self.chat(key) == status, 5, f"{status} for the key")


def processes(gateway: Gateway) -> list[psutil.Process]:
    """The web processes."""
    return [
        child
        for child in psutil.Process(gateway.process.pid).children()
        if any("gateway_project.serve" in argument for argument in child.cmdline())
    ]


def one_to_each(gateway: Gateway) -> list[Connection]:
    """A connection to each web process; the kernel decides who takes one, so it takes a few tries."""
    wait_until(lambda: len(processes(gateway)) == 2, 20, "two web processes")
    found: dict[int, Connection] = {}

    def try_some() -> bool:
        for connection in [Connection(gateway) for _ in range(10)]:
            connection.ask("GET", "/health")
            found.setdefault(holder(gateway, connection), connection)
        return len(found) == 2

    wait_until(try_some, 30, "both processes taking connections")
    return list(found.values())


def holder(gateway: Gateway, connection: Connection) -> int:
    """The process at the other end."""
    for process in processes(gateway):
        with contextlib.suppress(psutil.Error):
            if any(held.raddr and held.raddr.port == connection.port for held in process.net_connections("tcp")):
                return process.pid
    raise LookupError(f"nobody holds the connection from port {connection.port}")


def answered(metrics: str) -> int:
    """How many chat completions were answered, as /metrics has it."""
    lines = [line for line in metrics.splitlines() if line.startswith("gateway_requests_total{")]
    return sum(int(float(line.split()[-1])) for line in lines if CHAT in line and 'status="200"' in line)


def test_a_key_works_and_stops_in_both_and_the_metrics_add_up(gateway: Gateway) -> None:
    account = Account(gateway.url)
    account.add_provider(kind="demo", name="demo")
    made = account.create_key()
    both = one_to_each(gateway)

    asked = 0
    for connection, times in zip(both, (3, 4), strict=True):
        connection.wait_for(200, made["key"])
        assert [connection.chat(made["key"]) for _ in range(times - 1)] == [200] * (times - 1)
        asked += times

    assert [answered(connection.ask("GET", "/metrics")[1]) for connection in both] == [asked, asked]
    wait_until(lambda: len(account.requests()) >= asked, 10, "the ledger's rows")
    rows: list[dict[str, Any]] = account.requests()
    assert len([row for row in rows if row["status"] == 200]) == asked

    account.call("DELETE", f"/api/keys/gateway/{made['id']}", 204)
    revoked = time.monotonic()
    for connection in both:
        connection.wait_for(401, made["key"])
    assert time.monotonic() - revoked < 5


def test_limits_count_in_both_together(gateway: Gateway) -> None:
    """Ten wrong passwords lock an account for a while, however they are spread."""
    account = Account(gateway.url)
    wrong = json.dumps({"email": account.email, "password": "not this one"})
    both = one_to_each(gateway)
    statuses = [both[turn % 2].ask("POST", "/api/auth/login", body=wrong)[0] for turn in range(12)]
    assert statuses == [401] * 10 + [429] * 2


def test_one_that_dies_is_replaced_while_the_other_answers(gateway: Gateway) -> None:
    one_to_each(gateway)
    victim = processes(gateway)[0]
    victim.kill()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert gateway.get("/").status_code == 200
        time.sleep(0.02)
    one_to_each(gateway)
    assert victim.pid not in [process.pid for process in processes(gateway)]
