"""The web process's heaviest functions while it serves a load, sampled from outside by py-spy.

Threads that wait are left out, so shares are of CPU time. A function's own time includes the C code that it calls; the
event loop's own work (polling, reading and writing sockets) stands under the function that runs it.
"""

import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from bench import wire
from bench.gateway import running_gateway
from bench.measures import RequestsFailed, Subject, sample
from bench.processes import free_port, running

# Samples a second.
RATE = 500
# Where a thread of Python stands while it waits; py-spy sees by itself when the event loop does.
WAITS = re.compile(r"\b(wait|select|poll|sleep|_worker) \([^)]*\)$")
CLIENTS = {kind: 128 if kind == "paced" else 16 for kind in wire.KINDS}


@dataclass(slots=True)
class Profile:
    """Samples by function: in it, and in it or in what it called."""

    own: Counter[str] = field(default_factory=Counter)
    cumulative: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Profile":
        """From folded stacks: functions from the outermost to the innermost, `;` between them, a space, the count."""
        stacks: list[tuple[list[str], int]] = []
        for line in lines:
            stack, _, samples = line.rpartition(" ")
            functions = stack.split(";")
            if not WAITS.search(functions[-1]):
                stacks.append((functions, int(samples)))
        profile = cls()
        for functions, count in stacks:
            profile.own[functions[-1]] += count
        # What leads to every stack of a thread is its start, not its work.
        by_root: dict[str, list[list[str]]] = {}
        for functions, _ in stacks:
            by_root.setdefault(functions[0], []).append(functions)
        starts = {root: _common(found) for root, found in by_root.items()}
        for functions, count in stacks:
            for function in set(functions[starts[functions[0]] :]):
                profile.cumulative[function] += count
        return profile

    def text(self, cpu_ms: float, top: int) -> str:
        """The `top` functions of both orders, with their share of the `cpu_ms` that a request costs."""
        total = self.own.total()
        parts = [f"{cpu_ms * 1000:.0f} µs of the web process's CPU a request; {total} samples"]
        for title, counts in (("own time", self.own), ("with what they call", self.cumulative)):
            parts.append(f"\n{title}:")
            parts += [
                f"{count / total:7.1%} {count / total * cpu_ms * 1000:7.1f} µs  {function}"
                for function, count in counts.most_common(top)
            ]
        return "\n".join(parts)


def _common(stacks: list[list[str]]) -> int:
    """How many functions all of `stacks` begin with."""
    return sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, zip(*stacks, strict=False)))


def _record(pid: int, seconds: int, output: Path) -> subprocess.Popen[bytes]:
    spy = Path(sys.executable).with_name("py-spy")
    options = ["--duration", str(seconds), "--rate", str(RATE), "--format", "raw", "--function"]
    return subprocess.Popen(
        [spy, "record", "--pid", str(pid), *options, "--output", output],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _load_until(done: threading.Event, subject: Subject, kind: str, requests: int) -> None:
    while not done.is_set():
        sample(subject, kind, CLIENTS[kind], requests)


def run(kind: str, seconds: int, top: int) -> int:
    """Print the profile of requests of `kind`. 1 when it could not be taken."""
    upstream = free_port()
    with (
        running("bench.upstream", upstream),
        running_gateway(upstream) as gateway,
        tempfile.TemporaryDirectory() as folder,
    ):
        requests = 384 if kind == "paced" else 3_000
        output = Path(folder) / "stacks"
        try:
            sample(gateway, kind, CLIENTS[kind], requests)
            cpu_ms = sample(gateway, kind, CLIENTS[kind], requests).web_cpu
        except RequestsFailed as failure:
            print(f"FAILED: {failure}\n{gateway.log()}", file=sys.stderr)
            return 1
        done = threading.Event()
        load = threading.Thread(target=_load_until, args=(done, gateway, kind, requests))
        load.start()
        with _record(gateway.web_pids()[0], seconds, output) as spy:
            _, errors = spy.communicate()
        done.set()
        load.join()
        if spy.returncode:
            # Usually ptrace: where the kernel restricts it, root may.
            print(f"py-spy failed: {errors.decode(errors='replace').strip()}", file=sys.stderr)
            return 1
        print(Profile.of(output.read_text().splitlines()).text(cpu_ms, top))
    return 0
