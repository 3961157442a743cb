"""The processes of a benchmark: starting and ending them, and what they cost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
_TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout: float = 60.0) -> None:
    """Wait until `process` accepts connections on `port`. Raises `RuntimeError` when it ends or takes too long."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def stop(process: subprocess.Popen[bytes], timeout: float = 15.0) -> None:
    """End `process` as Ctrl-C would; kill it, and what it started, when it takes longer than `timeout` seconds."""
    if process.poll() is None:
        family = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()


@contextmanager
def running(module: str, port: int, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """`python -m module port arguments…`, from when it listens to when the block ends. Gives its process id."""
    command = [sys.executable, "-m", module, str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    try:
        wait_for_port(port, process)
        yield process.pid
    finally:
        stop(process)


def descendants(pid: int) -> list[psutil.Process]:
    """The living children of `pid`, theirs, and so on."""
    return psutil.Process(pid).children(recursive=True)


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes so far, to the nanosecond, and of the children they have reaped.

    Linux gives every process a clock of its own (clock_getcpuclockid(3)); /proc/PID/stat counts in ticks of 10 ms,
    which is too coarse for a short run, but nothing else tells about children that have ended.
    """
    total = 0.0
    for pid in pids:
        total += time.clock_gettime(~pid << 3 | 2)
        # Behind the name, which may hold spaces, begins field 3 of proc_pid_stat(5); cutime and cstime are 16 and 17.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[13]) + int(fields[14])) / _TICK
    return total


def resident_bytes(pids: list[int]) -> int:
    """Resident memory of the processes together."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)
