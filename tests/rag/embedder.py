"""A real embedding worker: its own process, the service and the models as they are in production."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gateway_project.env import BASE_DIR
from gateway_project.socket_paths import embed_socket
from rag.embedding.client import Embedder
from rag.embedding.errors import EmbedderAway

# torch and what comes with it are read from a disk, and compute, beside other tests.
START_SECONDS = 240.0


class EmbedderProcess:
    """Serves DATA_DIR's socket; `kill` and `start` it again as often as a test likes."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.path = embed_socket(data_dir)
        self.client = Embedder(self.path)
        self._environment = {
            **os.environ,
            "DATA_DIR": str(data_dir),
            "EMBEDDING_TEXT_MODEL": "all-MiniLM-L6-v2",
            "EMBEDDING_DEVICE": "cpu",
            "HF_HUB_OFFLINE": "1",
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            **environment,
        }
        self.log = data_dir / "embedder.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "EmbedderProcess":
        """Returns when it answers and has loaded the text model."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rag.embedding.serve"],
                cwd=BASE_DIR, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.stats_sync()
            except EmbedderAway:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "the embedding worker does not answer"
                time.sleep(0.05)
            else:
                self.client.describe_sync(timeout=START_SECONDS)
                return self

    def kill(self) -> None:
        """As the kernel would, out of memory."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None
