"""The real supervisor as a black box: started in an empty folder, looked at from outside."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

from gateway_project.env import BASE_DIR
from tests.installation import furnish

START_SECONDS = 60.0
STOP_SECONDS = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Fails when `condition` is not true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


class Gateway:
    """One supervisor with its own DATA_DIR and port. `output` is what it printed so far.

    A `fresh` one begins with nothing; so does whoever says where its data are to be.
    """

    def __init__(self, folder: Path, *, fresh: bool = False, **variables: str) -> None:
        if not fresh and "DATA_DIR" not in variables:
            furnish(folder / "data")
        self.data_dir = Path(variables.pop("DATA_DIR", str(folder / "data")))
        self.port = variables.pop("PORT", str(free_port()))
        self.url = f"http://127.0.0.1:{self.port}"
        empty = folder / "empty"
        empty.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway_project.supervisor"],
            cwd=empty,
            env={
                **kept,
                "PYTHONPATH": str(BASE_DIR),
                "DATA_DIR": str(self.data_dir),
                "PORT": self.port,
                "RATE_LIMIT_REQUESTS": "0",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line

    def ready(self) -> "Gateway":
        """Wait for the line with the console's URL."""
        wait_until(
            lambda: "/console/" in self.output or self.process.poll() is not None,
            START_SECONDS,
            f"ready; it printed: {self.output}",
        )
        assert self.process.poll() is None, self.output
        return self

    def ended(self, seconds: float = START_SECONDS) -> int:
        """Wait for the supervisor's end; its exit status."""
        status = self.process.wait(seconds)
        # A child that lives on would hold the pipe.
        self._reader.join(1)
        return status

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"accept": "application/json"}, timeout=20)

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything it started, Postgres and the keeper included."""
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return tree + [found for found in self._by_folder() if found not in tree]

    def _by_folder(self) -> Iterator[psutil.Process]:
        for found in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(str(self.data_dir) in argument for argument in found.cmdline()):
                    yield found

    def child(self, word: str) -> psutil.Process:
        """The supervisor's child with `word` in its command."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if any(word in argument for argument in child.cmdline()):
                    return child
        raise LookupError(word)

    def count(self, word: str) -> int:
        """How many of its processes have `word` in their command."""
        found = 0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                found += any(word in argument for argument in process.cmdline())
        return found

    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def assert_all_gone(self, processes: list[psutil.Process]) -> None:
        wait_until(
            lambda: not [p for p in processes if running(p)] and not list(self._by_folder()),
            STOP_SECONDS,
            f"the end of {[p for p in processes if running(p)]}",
        )

    def kill(self) -> None:
        """End the supervisor without a word; the others end by themselves."""
        self.process.kill()
        self.process.wait()

    def assert_nothing_left(self) -> None:
        wait_until(lambda: not list(self._by_folder()), STOP_SECONDS, "the end of every process")


def running(process: psutil.Process) -> bool:
    """False for a zombie, too."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
