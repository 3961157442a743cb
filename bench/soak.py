"""Ten minutes of mixed traffic while everything fails in turn; in the end, whether every sum is right.

The provider fails, hangs and breaks off; web processes are killed; Postgres stands still; Redis goes away (where a
`redis-server` is installed: then there are two web processes, else one). What the provider said that each request used
is compared with the ledger, record by record.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from bench import soak_sums
from bench.gateway import Gateway
from bench.processes import free_port, resident_bytes, running, wait_for_port
from bench.soak_traffic import CLIENTS, Traffic

MODELS = ("gpt-4o-mini", "gpt-4.1-mini")
# Seconds between two looks at the memory.
LOOK_EVERY = 10.0
# Shares of requests that fail, hang and break off while the provider is ill.
ILL, WELL = {"fail": 0.1, "hang": 0.02, "break": 0.05}, {"fail": 0.0, "hang": 0.0, "break": 0.0}


class Redis:
    """A Redis of the soak's own that can be taken away."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        """Gone, with all that it held."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Schedule:
    """What goes wrong, and when: each at a share of the soak's length."""

    def __init__(self, gateway: Gateway, upstream: str, redis: Redis | None) -> None:
        self.gateway, self.upstream, self.redis = gateway, upstream, redis
        self.told: list[str] = []

    def events(self) -> Iterator[tuple[float, str, Callable[[], None]]]:
        """(share of the length, in words, what is done), in order."""
        yield 0.10, "the provider is ill", lambda: self._mode(ILL)
        yield 0.22, "the provider is well", lambda: self._mode(WELL)
        for share in (0.26, 0.29, 0.32):
            yield share, "a web process is killed", self._kill_one
        yield 0.40, "Postgres stands still", lambda: self._postgres(signal.SIGSTOP)
        yield 0.50, "Postgres goes on", lambda: self._postgres(signal.SIGCONT)
        if self.redis is not None:
            yield 0.60, "Redis is gone", self.redis.stop
            yield 0.65, "Redis is back, empty", self.redis.start
        yield 0.72, "the provider is ill", lambda: self._mode(ILL)
        yield 0.76, "a web process is killed", self._kill_one
        yield 0.80, "the provider is well", lambda: self._mode(WELL)

    async def run(self, length: float, traffic: Traffic) -> None:
        """Let each happen at its time."""
        for share, words, happen in self.events():
            await asyncio.sleep(max(0.0, traffic.started + share * length - time.monotonic()))
            print(f"{time.monotonic() - traffic.started:6.0f} s  {words}", flush=True)
            traffic.note(words)
            await asyncio.to_thread(happen)

    def _mode(self, mode: dict[str, float]) -> None:
        httpx.post(f"{self.upstream}/_mode", json=mode, trust_env=False).raise_for_status()

    def _kill_one(self) -> None:
        os.kill(self.gateway.web_pids()[0], signal.SIGKILL)

    def _postgres(self, signum: int) -> None:
        pid_file = next(self.gateway.data_dir.rglob("postmaster.pid"))
        postmaster = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        for process in (postmaster, *postmaster.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signum)


async def watch_memory(gateway: Gateway, curve: list[tuple[float, float]], started: float) -> None:
    """Append (seconds, MB of the largest web process) to `curve`, for ever."""
    while True:
        with suppress(psutil.NoSuchProcess, RuntimeError):
            sizes = [resident_bytes([pid]) for pid in gateway.web_pids()]
            curve.append((time.monotonic() - started, max(sizes) / 2**20))
        await asyncio.sleep(LOOK_EVERY)


@contextmanager
def stage() -> Iterator[tuple[Gateway, str, Redis | None]]:
    """A gateway, the address of its provider, and its Redis, in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gw-soak-"))
    (folder / "data").mkdir()
    redis = Redis(free_port(), folder) if shutil.which("redis-server") else None
    upstream = free_port()
    variables = {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/0", "WEB_WORKERS": "2"} if redis else {}
    gateway = Gateway(folder / "data", upstream, variables)
    try:
        if redis is not None:
            redis.start()
        with running("bench.soak_upstream", upstream, *MODELS):
            try:
                gateway.start()
                yield gateway, f"http://127.0.0.1:{upstream}", redis
            finally:
                gateway.stop()
    finally:
        if redis is not None:
            redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _drive(
    gateway: Gateway, upstream: str, redis: Redis | None, length: float
) -> tuple[Traffic, list[tuple[float, float]]]:
    traffic = Traffic(f"http://127.0.0.1:{gateway.port}", upstream, MODELS)
    await traffic.set_up()
    curve: list[tuple[float, float]] = []
    watching = asyncio.create_task(watch_memory(gateway, curve, traffic.started))
    scheduled = asyncio.create_task(Schedule(gateway, upstream, redis).run(length, traffic))
    await traffic.run(length)
    await scheduled
    watching.cancel()
    return traffic, curve


def run(seconds: float) -> int:
    """Soak for so long and print the sums. 1 when one of them is wrong."""
    with stage() as (gateway, upstream, redis):
        print(
            f"{len(gateway.web_pids())} web processes, {'with' if redis else 'without'} Redis, {CLIENTS} clients",
            flush=True,
        )
        traffic, curve = asyncio.run(_drive(gateway, upstream, redis, seconds))
        flaws = soak_sums.report(gateway, upstream, traffic)
        kept = Path(shutil.copy(gateway.data_dir.parent / "gateway.log", tempfile.mkdtemp(prefix="gw-soak-log-")))
    print(
        "MB of the largest web process: "
        + ", ".join(f"{at:.0f} s {size:.0f}" for at, size in curve[:: max(1, len(curve) // 12)])
    )
    for flaw in flaws:
        print(f"WRONG: {flaw}")
    if flaws:
        print(f"What the gateway logged is in {kept}")
    return 1 if flaws else 0
