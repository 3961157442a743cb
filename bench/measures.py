"""What is measured, how, and what it may come to."""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench import wire
from bench.gateway import Gateway
from bench.load import Outcome, Plan, prepared
from bench.processes import cpu_seconds, resident_bytes


class Subject(Protocol):
    """What a load is sent to."""

    @property
    def name(self) -> str: ...

    @property
    def port(self) -> int: ...

    def key(self, kind: str) -> str:
        """What a client authenticates with."""
        ...

    def pids(self) -> list[int]:
        """The processes whose CPU time counts."""
        ...

    def web_pids(self) -> list[int]:
        """Of those, the ones that serve HTTP."""
        ...

    def model(self, kind: str) -> str:
        """The name by which it knows the model that answers as `kind`."""
        ...

    def settled(self, kind: str, outcome: Outcome) -> None:
        """Return when all that the load caused is done."""
        ...


@dataclass(frozen=True, slots=True)
class PassThrough:
    """The limit, as a subject."""

    port: int
    pid: int
    name: str = "pass-through"

    def key(self, kind: str) -> str:
        return "bench"

    def pids(self) -> list[int]:
        return [self.pid]

    def web_pids(self) -> list[int]:
        return [self.pid]

    def model(self, kind: str) -> str:
        return wire.KINDS[kind].model

    def settled(self, kind: str, outcome: Outcome) -> None:
        """It does nothing after it has answered."""


class RequestsFailed(Exception):
    """A request failed, which no measurement may hide."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One load: CPU milliseconds a request, in all and in the processes that serve, and latencies in milliseconds."""

    cpu: float
    web_cpu: float
    p50: float
    p99: float


def sample(subject: Subject, kind: str, clients: int, requests: int) -> Sample:
    """Load `subject` and take its CPU time from the first request until everything is settled.

    Raises `RequestsFailed`.
    """
    plan = Plan(subject.port, kind, subject.model(kind), clients, requests, subject.key(kind))
    with prepared(plan) as load:
        web = subject.web_pids()
        before, web_before = cpu_seconds(subject.pids()), cpu_seconds(web)
        outcome = load.fire()
        subject.settled(kind, outcome)
        cpu, web_cpu = cpu_seconds(subject.pids()) - before, cpu_seconds(web) - web_before
    if outcome.failed:
        reasons = "; ".join(outcome.failures)
        raise RequestsFailed(f"{outcome.failed} of {requests} requests ({kind}) to the {subject.name}: {reasons}")
    per_request = 1000 / requests
    return Sample(
        cpu * per_request, web_cpu * per_request, outcome.percentile(0.5) * 1000, outcome.percentile(0.99) * 1000
    )


# The samples of each subject, in the subjects' order.
Samples = tuple[list[Sample], ...]


def interleaved(subjects: Sequence[Subject], kind: str, clients: int, requests: int, rounds: int) -> Samples:
    """Each subject's samples of `rounds` loads, taken in turn, after one short load that does not count."""
    samples: Samples = tuple([] for _ in subjects)
    for subject in subjects:
        sample(subject, kind, clients, max(clients, requests // 5))
    for _ in range(rounds):
        for subject, taken in zip(subjects, samples, strict=True):
            taken.append(sample(subject, kind, clients, requests))
    return samples


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `judged` is what `must` and `aim` bound from above."""

    what: str
    unit: str
    gateway: float
    limit: float | None
    judged: float
    must: float
    aim: float
    # What of the gateway's figure is the web process's.
    web: float | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.judged > self.must:
            return "over"
        return "aim" if self.judged <= self.aim else "ok"


def _ratio(what: str, samples: Samples, value: Callable[[Sample], float], *, must: float, aim: float) -> Row:
    ours, theirs = ([value(each) for each in taken] for taken in samples)
    gateway, limit = statistics.median(ours), statistics.median(theirs)
    kept = {"gateway": ours, "pass-through": theirs}
    return Row(what, "ms", gateway, limit, gateway / limit, must, aim, samples=kept)


def _cpu(what: str, samples: Samples, *, must: float, aim: float) -> Row:
    row = _ratio(what, samples, lambda each: each.cpu, must=must, aim=aim)
    return replace(row, web=statistics.median(each.web_cpu for each in samples[0]))


@dataclass(frozen=True, slots=True)
class Bench:
    """The two subjects, and by how much the loads are cut short for a quick look."""

    gateway: Gateway
    limit: PassThrough
    quick: bool = False

    def _size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def _both(self, kind: str, clients: int, requests: int, rounds: int) -> Samples:
        requests = self._size(requests, max(clients, requests // 8))
        return interleaved([self.gateway, self.limit], kind, clients, requests, self._size(rounds, 2))

    def memory(self) -> list[Row]:
        """Resident memory of the web process. The first measure, so that it counts requests since the start."""
        half = self._size(10_000, 1_000)
        sample(self.gateway, "chat", 16, half)
        before = resident_bytes(self.gateway.web_pids())
        sample(self.gateway, "chat", 16, half)
        after = resident_bytes(self.gateway.web_pids())
        size, growth = after / 1e6, (after - before) / before * 100
        return [
            Row(f"web process RSS after {half * 2:,} requests", "MB", size, None, size, 170, 130),
            Row(f"its growth over the last {half:,}", "%", growth, None, growth, 1, 1),
        ]

    def chat(self) -> list[Row]:
        samples = self._both("chat", 16, 3_000, 7)
        return [_cpu("CPU per request, 16 clients", samples, must=3, aim=2)]

    def guarded(self) -> list[Row]:
        samples = self._both("guarded", 16, 3_000, 7)
        return [_cpu("CPU per request with limits and a budget, looked for in the cache", samples, must=3, aim=2)]

    def cached(self) -> list[Row]:
        samples = self._both("cached", 16, 3_000, 7)
        return [
            _cpu("CPU per request with limits, a budget, and a cache that has the answer", samples, must=1.5, aim=1)
        ]

    def auto(self) -> list[Row]:
        samples = self._both("auto", 16, 2_000, 5)
        what = f"CPU per request of 500 tokens, model auto, {len(wire.CANDIDATES)} candidates"
        return [_cpu(what, samples, must=3.5, aim=2.5)]

    def burst(self) -> list[Row]:
        samples = self._both("burst", 16, 1_000, 7)
        what = f"CPU per stream of {wire.CHUNKS} chunks at once, 16 clients"
        return [_cpu(what, samples, must=2, aim=1.5)]

    def paced(self) -> list[Row]:
        samples = self._both("paced", 128, 384, 5)
        what = f"CPU per stream of {wire.CHUNKS} chunks every {wire.PACE * 1000:.0f} ms, 128 clients"
        return [_cpu(what, samples, must=2.5, aim=1.8)]

    def latency(self) -> list[Row]:
        samples = self._both("chat", 1, 1_000, 7)
        return [
            _ratio("latency p50, one client", samples, lambda each: each.p50, must=2.5, aim=2),
            _ratio("latency p99, one client", samples, lambda each: each.p99, must=6, aim=4),
        ]


NAMES = ("memory", "chat", "guarded", "cached", "auto", "burst", "paced", "latency")


def take(bench: Bench, names: Sequence[str]) -> list[Row]:
    """The rows of the measures in `names`. Raises `RequestsFailed`."""
    rows: list[Row] = []
    for name in names:
        sys.stderr.write(f"measuring {name} …\n")
        rows += getattr(bench, name)()
    return rows
