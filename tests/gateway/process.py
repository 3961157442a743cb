"""The gateway as its operator runs it: the supervisor on a free port, with a data directory of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from gateway_project import env
from tests.installation import furnish

ROOT = Path(__file__).resolve().parent.parent.parent
# The product's own variables: a developer's must not reach a gateway under test.
PRODUCT = {field.upper() for field in env.Environment.__annotations__} | {"ENCRYPTION_KEY", "DJANGO_SETTINGS_MODULE"}


# The server of the gateway under test; `GATEWAY_TEST_SERVER=daphne` runs the same tests with the other one.
SERVER = os.environ.get("GATEWAY_TEST_SERVER", "uvicorn")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A child that leads its own process group and writes to a log file."""

    def __init__(self, command: list[str], *, data_dir: Path, port: int, **environment: str) -> None:
        self.port = port
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{port}"
        self.log = data_dir / f"output-{port}.log"
        variables = {name: value for name, value in os.environ.items() if name not in PRODUCT}
        variables |= {"DATA_DIR": str(data_dir), "PORT": str(port), "RATE_LIMIT_REQUESTS": "1000000", **environment}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_until_ready(self, within: float = 60) -> None:
        """Returns when it answers `GET /v1/models`; RuntimeError with its log's end when it does not."""
        end = time.monotonic() + within
        while time.monotonic() < end and self.process.poll() is None:
            try:
                # 401 is the gateway's own answer; 503 means that it still waits for its database.
                if httpx.get(f"{self.url}/v1/models", trust_env=False, timeout=2).status_code == 401:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        output = self.log.read_text(errors="replace")[-4000:]
        self.stop()
        raise RuntimeError(f"the gateway did not become ready within {within} s:\n{output}")

    def stop(self) -> None:
        """Stop it as Ctrl-C does; kill its whole group when that takes over 15 s."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)


def supervisor(data_dir: Path, **environment: str) -> Process:
    """Everything that `make run` starts, on a database that is migrated already."""
    furnish(data_dir)
    command = [sys.executable, "-m", "gateway_project.supervisor"]
    return Process(command, data_dir=data_dir, port=free_port(), **environment)


def web_process(data_dir: Path, **environment: str) -> Process:
    """One more web process beside a running gateway, on the same data."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "gateway_project.asgi:application",
        "--http", "gateway_project.http_protocol:BoundedHttp",
        "--port", str(port), "--log-level", "warning", "--no-access-log",
    ]  # fmt: skip
    return Process(command, data_dir=data_dir, port=port, **environment)
