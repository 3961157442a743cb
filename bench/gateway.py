"""The product, started as `make run` starts it, with an account, a provider and a key made through its API."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench import wire
from bench.load import Outcome
from bench.processes import ROOT, cpu_seconds, descendants, free_port, stop
from gateway_project import embedded
from gateway_project.env import Environment

PROVIDER = "bench"
# More of everything than a benchmark uses.
LIMITS = {
    "budget_usd": "1000000",
    "budget_period": "month",
    "rate_limit_requests": 1_000_000_000,
    "rate_limit_window": 60,
    "rate_limit_tokens": 1_000_000_000_000,
    "rate_limit_streams": 10_000,
}
# Seconds that a worker may take to start, and the share of a core that it may use once it has.
CALM_TIMEOUT, CALM_SHARE = 30.0, 0.05
# Seconds that the ledger has to take in what a load left in the spool.
SETTLE_TIMEOUT = 20.0
_PRODUCT = {field.upper() for field in Environment.__annotations__} | {"ENCRYPTION_KEY"}


class Gateway:
    """A running gateway of its own: `DATA_DIR`, port, Postgres, web process, worker."""

    name = "gateway"

    def __init__(self, data_dir: Path, upstream_port: int, variables: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._variables = dict(variables or {})
        self.port = free_port()
        self._key = self._limited_key = ""
        self.workspace = ""
        # For `/api`.
        self.token = ""
        # What was sent and answered, for the ledger's check.
        self.sent: list[tuple[str, Outcome]] = []
        self.since = datetime.now(UTC)
        self._upstream_port = upstream_port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start every process and wait until the web process answers. Raises `RuntimeError` when it does not."""
        # Empty means unset, and keeps what a developer's .env says out of the measurement.
        variables = dict.fromkeys(_PRODUCT, "") | {
            "DATA_DIR": str(self.data_dir),
            "PORT": str(self.port),
            "RATE_LIMIT_REQUESTS": "1000000000",
            **self._variables,
        }
        with (self.data_dir.parent / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway_project.supervisor", "--under-make"],
                cwd=ROOT, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.call("GET", "/")
                return
            except urllib.error.HTTPError:
                return  # whatever it says, it answers
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the gateway did not start:\n{self.log()}")

    def stop(self) -> None:
        """End every process."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def log(self) -> str:
        """The end of what the gateway wrote to its output."""
        return (self.data_dir.parent / "gateway.log").read_text(errors="replace")[-4000:]

    def set_up(self) -> None:
        """Sign up, add the fake upstream as a provider, and make a key, as a user would."""
        # A cloud kind: a local one costs nothing, and the cost's arithmetic is part of a request.
        account = self.call("POST", "/api/auth/signup", email="bench@example.com", password="a slow brown fox")
        token = self.token = account["access_token"]
        self.workspace = account["workspace"]["id"]
        provider = {
            "kind": "openai",
            "name": PROVIDER,
            "base_url": f"http://127.0.0.1:{self._upstream_port}/v1",
            "api_key": "sk-bench-upstream",
            "models": list(wire.CANDIDATES),
        }
        self.call("POST", "/api/keys/providers", token, **provider)
        self._key = self.call("POST", "/api/keys/gateway", token, name="bench")["key"]
        self._limited_key = self.call("POST", "/api/keys/gateway", token, name="limited", **LIMITS)["key"]
        self._wait_until_ready()

    def key(self, kind: str) -> str:
        """The gateway key that requests of `kind` carry."""
        return self._limited_key if wire.KINDS[kind].limited else self._key

    def manage(self, *arguments: str) -> None:
        """Run `manage.py` on the gateway's data. Raises `CalledProcessError` when it fails."""
        variables = dict.fromkeys(_PRODUCT, "") | {"DATA_DIR": str(self.data_dir)}
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True, stdout=subprocess.DEVNULL)

    def restart(self) -> None:
        """End every process, start anew on the same data, and wait until it is ready for requests."""
        self.stop()
        self.start()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        self._wait_until_served()
        self._wait_until_calm()

    def _wait_until_served(self) -> None:
        """Wait until the web process knows the key and the provider."""
        deadline = time.monotonic() + 10
        while True:
            try:
                models = {model["id"] for model in self.call("GET", "/v1/models", self._limited_key)["data"]}
                if self.model("chat") in models or wire.KINDS["chat"].model in models:
                    return
            except urllib.error.HTTPError as error:
                if error.code not in (401, 503):  # not known yet; still starting
                    raise
            if time.monotonic() > deadline:
                raise RuntimeError("the gateway does not serve its new provider")
            time.sleep(0.1)

    def _wait_until_calm(self) -> None:
        """Wait until no process is busy with its start. Raises `RuntimeError` when one is for too long."""
        deadline = time.monotonic() + CALM_TIMEOUT
        while time.monotonic() < deadline:
            before = cpu_seconds(self.pids())
            time.sleep(0.5)
            if 0 <= cpu_seconds(self.pids()) - before < 0.5 * CALM_SHARE:
                return
        raise RuntimeError(f"a process of the gateway is busy although nobody asks anything:\n{self.log()}")

    def call(self, method: str, path: str, token: str = "", **body: Any) -> Any:
        """The JSON answer of an API call. Raises `urllib.error.HTTPError` (an `OSError`) with the gateway's words."""
        headers = {"accept": "application/json", "content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            error.msg = f"{error.msg}: {method} {path}: {error.read(500).decode(errors='replace')}"
            raise

    def model(self, kind: str) -> str:
        """The name by which a client asks for the model that makes the upstream answer as `kind`, or `auto`."""
        return wire.AUTO if kind == "auto" else f"{PROVIDER}/{wire.KINDS[kind].model}"

    def pids(self) -> list[int]:
        """Every process of the gateway but Postgres."""
        assert self._process is not None
        family = [psutil.Process(self._process.pid), *descendants(self._process.pid)]
        return [process.pid for process in family if _name(process) not in ("postgres", "")]

    def web_pids(self) -> list[int]:
        """The processes that serve HTTP."""
        assert self._process is not None
        found = [process.pid for process in descendants(self._process.pid) if self._listens(process)]
        if not found:
            raise RuntimeError("no process of the gateway listens")
        return found

    def _listens(self, process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.port
                for connection in process.net_connections("inet")
            )
        return False

    def database(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection to the gateway's Postgres that commits each statement."""
        return psycopg.connect(embedded.dsn(self.data_dir), autocommit=True)

    def settled(self, kind: str, outcome: Outcome) -> None:
        """Wait until the ledger holds what `outcome` says was answered; `bench.ledger` checks that in the end."""
        self.sent.append((kind, outcome))
        expected = sum(outcome.answered for _, outcome in self.sent)
        count = "SELECT count(*) FROM analytics_usagerecord WHERE workspace_id = %s AND created_at >= %s"
        deadline = time.monotonic() + SETTLE_TIMEOUT
        with self.database() as connection:
            while time.monotonic() < deadline:
                row = connection.execute(count, [self.workspace, self.since]).fetchone()
                if row is not None and row[0] >= expected:
                    return
                time.sleep(0.05)


def _name(process: psutil.Process) -> str:
    """The process's name; empty when it has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


@contextmanager
def running_gateway(upstream_port: int) -> Iterator[Gateway]:
    """A gateway that is ready for requests, in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gw-bench-"))
    data_dir = folder / "data"
    data_dir.mkdir()
    gateway = Gateway(data_dir, upstream_port)
    try:
        try:
            gateway.start()
            gateway.set_up()
        except OSError as error:
            raise RuntimeError(f"the gateway could not be set up: {error}\n{gateway.log()}") from error
        yield gateway
    finally:
        gateway.stop()
        shutil.rmtree(folder, ignore_errors=True)
