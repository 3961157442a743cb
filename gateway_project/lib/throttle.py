"""Limits on how often something may be tried, counted in Django's cache (this process's own, or Redis for all).

A limit is a fixed window: a count that ends with it. Counting comes before the work that it guards, so that a hundred
tries at once count as a hundred.
"""

import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache

from gateway_project.lib.errors import RateLimitExceeded, ServiceUnavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Counts here while Redis is away, unless LIMITS_FAIL is "closed".
_local = LocMemCache("throttle", {"OPTIONS": {"MAX_ENTRIES": 100_000}})


@dataclass(frozen=True)
class Throttle:
    """At most `limit` tries in `window` seconds for each subject; `name` tells one throttle from another."""

    name: str
    limit: int
    window: int

    def hit(self, subject: str) -> None:
        """Count one try of `subject`. Raises RateLimitExceeded with `retry-after` when it is one too many."""
        now = time.time()
        if _with_cache(lambda counts: self._count(counts, self._key(subject, now))) > self.limit:
            seconds = max(1, math.ceil(self.window - now % self.window))
            raise RateLimitExceeded(
                f"Too many tries; try again in {seconds} seconds.", headers={"retry-after": str(seconds)}
            )

    def forgive(self, subject: str) -> None:
        """Take one try back: it turned out to be none that counts."""
        key = self._key(subject, time.time())

        def take_back(counts: BaseCache) -> None:
            if counts.get(key):
                counts.decr(key)

        with contextlib.suppress(ValueError):  # it ended in between
            _with_cache(take_back)

    def reset(self, subject: str) -> None:
        """Forget the tries of `subject`."""
        key = self._key(subject, time.time())
        _with_cache(lambda counts: counts.delete(key))

    def _key(self, subject: str, now: float) -> str:
        # A digest: subjects are e-mail addresses, as long and as odd as clients make them.
        digest = hashlib.sha256(subject.encode()).hexdigest()[:32]
        return f"throttle:{self.name}:{digest}:{int(now // self.window)}"

    def _count(self, counts: BaseCache, key: str) -> int:
        counts.add(key, 0, timeout=self.window + 1)
        try:
            return counts.incr(key)
        except ValueError:  # reset in between
            counts.set(key, 1, timeout=self.window + 1)
            return 1


def _with_cache(work: Callable[[BaseCache], T]) -> T:
    """`work` on the shared counts; on this process's own, or not at all, while Redis is away (LIMITS_FAIL)."""
    if not settings.REDIS_URL:
        return work(cache)
    from redis.exceptions import RedisError  # 5 MB, where there is no Redis

    try:
        return work(cache)
    except RedisError as error:
        if settings.LIMITS_FAIL == "closed":
            raise ServiceUnavailable("Limits cannot be checked right now; try again soon.") from error
        logger.warning("redis is away, limits count in this process alone: %s", type(error).__name__)
        return work(_local)
