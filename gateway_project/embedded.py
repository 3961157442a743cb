"""The embedded Postgres (with pgvector) that `DATA_DIR` holds while `DATABASE_URL` is unset.

Any number of processes may hold it at once (the supervisor, a management command, a test run); the last one to end
stops it. A holder is a shared lock on a file, which the kernel drops with its process, so none is ever stale.
"""

import atexit
import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path

from gateway_project.env import BASE_DIR, BadEnvironment, Environment
from gateway_project.postgres import Cluster, PostgresFailed, socket_folder, wait_for_lock

# Commands that answer without a database, so that they need not start one.
WITHOUT_DATABASE = frozenset({"help", "version", "--help", "--version", "makemessages", "collectstatic", "findstatic"})

STOP_SECONDS = 8.0


class Hold:
    """Keeps the cluster in `data_dir` running until `release` or the end of this process, `kill -9` included.

    Raises PostgresFailed.
    """

    def __init__(self, data_dir: Path) -> None:
        self.cluster = Cluster(data_dir)
        # Taken first: it waits for a keeper that is stopping the server right now.
        self._lock = os.open(data_dir / "postgres.holders", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            wait_for_lock(self._lock, fcntl.LOCK_SH, STOP_SECONDS * 2)
        except TimeoutError:
            raise PostgresFailed("the embedded Postgres has been stopping for too long") from None
        self._keeper = self._start_keeper()
        self.groups: set[int] = set()
        self.ensure()

    def ensure(self) -> None:
        """Start the server again if it ended."""
        self.cluster.ensure_running()

    def running(self) -> bool:
        return self.cluster.postmaster() is not None

    def watch(self, group: int) -> None:
        """Have this process group killed should this process die without a word."""
        self.groups.add(group)
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self.groups.discard(group)
        self._tell(f"-{group}\n")

    def check_keeper(self) -> None:
        """Start another keeper if somebody killed it."""
        if self._keeper.poll() is not None:
            self._keeper = self._start_keeper()
            for group in self.groups:
                self._tell(f"+{group}\n")

    def release(self) -> None:
        """Let go; returns when the server has ended, if nobody else holds it."""
        if self._lock < 0:
            return
        os.close(self._lock)
        self._lock = -1
        assert self._keeper.stdin is not None  # noqa: S101  (a pipe, see below)
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(STOP_SECONDS)

    def _start_keeper(self) -> subprocess.Popen[bytes]:
        # -S: it needs nothing but the standard library, and starts in 20 ms without site-packages.
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-S", "-m", "gateway_project.keeper", str(self.cluster.data_dir)],
            cwd=BASE_DIR,
            env={"PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def _tell(self, line: str) -> None:
        assert self._keeper.stdin is not None  # noqa: S101  (a pipe, see above)
        with contextlib.suppress(BrokenPipeError):  # killed: check_keeper starts another
            self._keeper.stdin.write(line.encode())


def start(data_dir: Path) -> Hold:
    """Start the cluster of `data_dir` unless it runs, and hold it until this process ends.

    Raises BadEnvironment, which names DATA_DIR.
    """
    try:
        hold = Hold(data_dir)
    except PostgresFailed as error:
        raise BadEnvironment(f"DATA_DIR: {error}") from None
    atexit.register(hold.release)
    return hold


def dsn(data_dir: Path) -> str:
    """The cluster's address, as libpq reads it."""
    return f"postgresql://postgres@/postgres?host={socket_folder(data_dir)}"


def ensure_for_command(env: Environment, argv: list[str]) -> None:
    """Start the embedded cluster for a management command that needs it."""
    if env.embedded and len(argv) > 1 and argv[1] not in WITHOUT_DATABASE:
        start(env.data_dir)
