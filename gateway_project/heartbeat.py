"""The worker's sign of life: in Redis where there is one, otherwise the age of a file in DATA_DIR."""

import time

from django.conf import settings
from django.core.cache import cache

SECONDS = 5.0
STALE_SECONDS = 30.0

KEY = "worker-heartbeat"


def beat() -> None:
    """Say that the worker is alive."""
    if settings.REDIS_URL:
        cache.set(KEY, time.time(), timeout=int(STALE_SECONDS) * 10)
    else:
        (settings.DATA_DIR / KEY).touch()


def age() -> float | None:
    """Seconds since the last sign of life; None when there never was one."""
    if settings.REDIS_URL:
        last = cache.get(KEY)
        return None if last is None else max(0.0, time.time() - last)
    try:
        return max(0.0, time.time() - (settings.DATA_DIR / KEY).stat().st_mtime)
    except FileNotFoundError:
        return None
