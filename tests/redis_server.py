"""A Redis of a test's own, which can be taken away and come back."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest
import redis

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")
PASSWORD = "not-to-be-logged"


class RedisServer:
    """`url` names it, also while it does not run. It keeps nothing on a disk: started again, it is empty."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")

    def start(self, *options: str) -> None:
        """Returns when it answers."""
        assert BINARY is not None
        command = [BINARY, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--requirepass", PASSWORD]
        self.process = subprocess.Popen([*command, *options], cwd=self._folder.name, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        with self.client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def client(self) -> "redis.Redis":
        """Another client of it, to look at it from outside."""
        return redis.Redis.from_url(self.url)

    def hang(self) -> None:
        """It takes connections and says nothing, as a host does that is cut off."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, with all that it held."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A Redis that answers. Skips the test where there is none, except in CI."""
    if BINARY is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
