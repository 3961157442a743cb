"""How much a key, the member who made it and its workspace may ask: requests, tokens and streams.

`admit` decides for all of a request's scopes at once: it is counted in all of them, or refused and counted in none.
In one process (`local`) or for the whole installation through Redis (`shared`).
"""

from django.conf import settings

from gateway_project.lib import redis_link
from routing import share
from routing.limits.local import LocalLimits
from routing.limits.permit import Permit, PermitWith, Standing
from routing.limits.shared import SharedLimits

__all__ = ["LocalLimits", "Permit", "PermitWith", "SharedLimits", "Standing", "current"]

current: LocalLimits | SharedLimits = (
    LocalLimits()
    if redis_link.current is None
    else SharedLimits(redis_link.current, share.current, workers=settings.WEB_WORKERS, fail=settings.LIMITS_FAIL)
)
