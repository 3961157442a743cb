"""`GET /health`: what the gateway depends on and how that is.

A check that takes too long counts as failed, is left to end by itself and is not started again until it has. Answers
are kept for a few seconds and made by one request at a time, so that nobody can load the database by asking.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from analytics import ledger
from gateway_project import heartbeat
from gateway_project.celeryconfig import FILESYSTEM
from keys.kinds import KINDS
from keys.models import Provider
from rag.embedding import client as embedder
from rag.embedding.errors import EmbeddingError
from routing import limits
from routing.budgets import till

KEPT_SECONDS = 3.0
CHECK_SECONDS = 2.0
NOTES_SECONDS = 0.5
# Servers are asked twice a minute, clouds once an hour; two missed turns are a finding.
PROBE_STALE = timedelta(minutes=3)
CLOUD_STALE = timedelta(hours=3)

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
OK = "ok"


class Unwell(Exception):
    """What a check found. `str()` is public: no address, no secret."""


@dataclass
class Report:
    """One answer: the contract's body and when it was made."""

    body: dict[str, Any]
    made_at: float = field(default_factory=time.monotonic)

    @property
    def status(self) -> int:
        return 503 if self.body["status"] == UNHEALTHY else 200


def check_database() -> str:
    """Whether it answers, and this process's way into the ledger is open: while it is not, requests are refused."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if why := ledger.refusal():
        raise Unwell(why)
    return OK


def check_vector_store() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT '[1,2]'::vector <-> '[1,3]'::vector")
    return OK


def check_cache() -> str:
    """The cache, and what is counted beside it: with Redis the limits and budgets of the whole installation."""
    if why := "; ".join(filter(None, [limits.current.degraded, till.degraded()])):
        raise Unwell(why)
    stamp = time.time_ns()
    cache.set("health", stamp, timeout=60)
    if cache.get("health") is None:
        raise Unwell("does not keep what is written")
    return OK


def check_broker() -> str:
    if settings.CELERY_BROKER_URL == FILESYSTEM:
        (settings.BROKER_DIR / "health").touch()
        return OK
    from gateway_project.celery import app

    with app.connection_for_write(connect_timeout=CHECK_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, timeout=CHECK_SECONDS)
    return OK


def check_worker() -> str:
    """Both workers: the one with the clock, and the one that holds the embedding models."""
    if why := "; ".join(filter(None, [_silent(heartbeat.WORKER, ""), _silent(heartbeat.EMBEDDER, "embedding: ")])):
        raise Unwell(why)
    return OK


def _silent(name: str, prefix: str) -> str:
    """Why a worker counts as gone, or ""."""
    age = heartbeat.age(name)
    if age is None:
        return f"{prefix}not seen yet"
    return f"{prefix}last seen {age:.0f} s ago" if age > heartbeat.STALE_SECONDS else ""


def notes() -> list[str]:
    """What people should know although all is well: texts are embedded by another model than was asked for."""
    try:
        models = embedder.current.models_sync(timeout=NOTES_SECONDS)
    except EmbeddingError:
        return []  # the worker's own check tells
    return [
        f"Texts are embedded by {model.id} instead of {model.fallback_for}: {model.note}."
        for model in models
        if model.fallback_for and model.default
    ]


def check_backends() -> dict[str, str]:
    """The providers that variables name, as the last probe found them. A reason may hold an address: none is told."""
    found = Provider.objects.filter(from_environment=True, enabled=True).order_by("created_at")
    backends: dict[str, str] = {}
    for name, kind, error, at in found.values_list("name", "kind", "last_error", "discovered_at")[:100]:
        stale = PROBE_STALE if kind not in KINDS or KINDS[kind].self_hosted else CLOUD_STALE
        if error:
            backends[name] = "failing"
        elif at is None or timezone.now() - at > stale:
            backends[name] = "not checked lately"
        else:
            backends[name] = OK
    return backends


CHECKS: dict[str, Callable[[], Any]] = {
    "database": check_database,
    "vector_store": check_vector_store,
    "cache": check_cache,
    "broker": check_broker,
    "worker": check_worker,
    "backends": check_backends,
}


class Monitor:
    """Runs the checks side by side and remembers the last report."""

    def __init__(self, checks: dict[str, Callable[[], Any]]) -> None:
        self._checks = checks
        self._threads = ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="health")
        self._running: dict[str, Future[Any]] = {}
        self._turn = threading.Lock()
        self._last: Report | None = None

    def report(self) -> Report:
        """The current report; those who ask at the same time get the same one."""
        with self._turn:
            if self._last is None or time.monotonic() - self._last.made_at > KEPT_SECONDS:
                self._last = self._make()
            return self._last

    def _make(self) -> Report:
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = self._threads.submit(_run, check)
        wait(self._running.values(), timeout=CHECK_SECONDS)
        results: dict[str, Any] = {name: self._result(name) for name in self._checks}
        body = {
            "status": _status(results),
            "checks": results,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if said := notes():
            body["notes"] = said
        return Report(body)

    def _result(self, name: str) -> Any:
        future = self._running[name]
        if not future.done():
            return f"no answer within {CHECK_SECONDS:.0f} s"
        del self._running[name]
        error = future.exception()
        if error is None:
            return future.result()
        # A library's message may hold an address or a password; its class is enough here.
        return str(error) if isinstance(error, Unwell) else f"failing ({type(error).__name__})"


def _run(check: Callable[[], Any]) -> Any:
    try:
        return check()
    finally:
        connection.close()  # this thread's, back to the pool


def _status(results: dict[str, Any]) -> str:
    if results["database"] != OK:
        return UNHEALTHY
    backends = results["backends"]
    well = isinstance(backends, dict) and all(state == OK for state in backends.values())
    others = all(result == OK for name, result in results.items() if name != "backends")
    return HEALTHY if well and others else DEGRADED


monitor = Monitor(CHECKS)


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """200 while requests can be served, 503 while they cannot."""
    report = monitor.report()
    return JsonResponse(report.body, status=report.status)
