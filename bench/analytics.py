"""How long the analytics API takes over a full ledger, as a client sees it."""

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.gateway import Gateway

# Milliseconds that the median overview may take.
MUST = 300.0
TIMES = 25


@dataclass(frozen=True, slots=True)
class Timing:
    """How many milliseconds a question took, each time that it was asked."""

    what: str
    ms: list[float]
    must: float | None

    @property
    def p50(self) -> float:
        return statistics.median(self.ms)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.ms, n=20)[-1]


def _questions() -> list[tuple[str, str, float | None]]:
    """What is asked: its name, its path, and what its median must not exceed."""
    now = datetime.now(UTC).replace(microsecond=0)
    first = (now - timedelta(days=90)).date()
    cut = (now - timedelta(days=90) + timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    day = (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    overview, breakdown = "/api/analytics/overview", f"/api/analytics/cost-breakdown?from={first}&group_by="
    return [
        ("overview, 30 days", overview, MUST),
        ("overview, 24 hours", f"{overview}?from={day}", MUST),
        ("overview, 90 days", f"{overview}?from={first}", MUST),
        ("overview, 90 days, both ends cut", f"{overview}?from={cut}&to={day}", MUST),
        ("overview, 90 days, one model", f"{overview}?from={first}&model=model-3", MUST),
        ("breakdown by model, 90 days", f"{breakdown}model", None),
        ("breakdown by day, 90 days", f"{breakdown}day", None),
        ("breakdown by key, 90 days", f"{breakdown}key", None),
        ("model distribution, 90 days", f"/api/analytics/model-distribution?from={first}", None),
        ("requests, newest 50", "/api/analytics/requests", None),
        ("requests, newest 50 failed", "/api/analytics/requests?status=error", None),
    ]


def take(gateway: Gateway) -> list[Timing]:
    """Ask each question `TIMES` times, one after the other."""
    timings = []
    for what, path, must in _questions():
        gateway.call("GET", path, gateway.token)
        ms = []
        for _ in range(TIMES):
            started = time.perf_counter()
            gateway.call("GET", path, gateway.token)
            ms.append((time.perf_counter() - started) * 1000)
        timings.append(Timing(what, ms, must))
    return timings


def over(timings: list[Timing]) -> bool:
    """Whether a median is over what it must be."""
    return any(timing.must is not None and timing.p50 > timing.must for timing in timings)


def table(timings: list[Timing]) -> str:
    """The timings as text."""
    lines = [f"{'analytics API':34} {'p50':>9} {'p95':>9} {'must':>9}"]
    for timing in timings:
        must = "" if timing.must is None else f"{timing.must:.0f} ms"
        verdict = "" if timing.must is None else " ok" if timing.p50 <= timing.must else " over"
        lines.append(f"{timing.what:34} {timing.p50:6.1f} ms {timing.p95:6.1f} ms {must:>9}{verdict}".rstrip())
    return "\n".join(lines)
