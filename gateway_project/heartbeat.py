"""The workers' signs of life: in Redis where there is one, otherwise the age of files in DATA_DIR."""

import time

from django.conf import settings
from django.core.cache import cache

SECONDS = 5.0
STALE_SECONDS = 30.0

WORKER, EMBEDDER = "worker", "embedder"


def beat(name: str = WORKER) -> None:
    """Say that this worker is alive."""
    if settings.REDIS_URL:
        cache.set(_key(name), time.time(), timeout=int(STALE_SECONDS) * 10)
    else:
        (settings.DATA_DIR / _key(name)).touch()


def age(name: str = WORKER) -> float | None:
    """Seconds since that worker's last sign of life; None when there never was one."""
    if settings.REDIS_URL:
        last = cache.get(_key(name))
        return None if last is None else max(0.0, time.time() - last)
    try:
        return max(0.0, time.time() - (settings.DATA_DIR / _key(name)).stat().st_mtime)
    except FileNotFoundError:
        return None


def _key(name: str) -> str:
    return f"{name}-heartbeat"
