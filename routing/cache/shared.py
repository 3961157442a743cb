"""The layer that processes share: Redis. Strict answers are never there, wherever that Redis is: it may write to disk,
and be read by others. While it is away, each process has its own memory and goes on.
"""

from django.conf import settings

from analytics import metrics
from gateway_project.lib import redis_link
from gateway_project.lib.redis_link import RedisAway, RedisLink
from routing.cache import sealed
from routing.cache.answer import KeptAnswer, Unreadable
from routing.cache.layer import Search
from routing.exchange import Exchange

# Bytes of an answer that is worth its compression in the event loop, some 5 ms.
LARGEST = 512 * 1024
NAMES = f"{redis_link.prefix}:cache:"
# In the place of the id of the policy that is built in.
BUILT_IN = "built-in"


class Shared:
    """Answers in the Redis behind `link`, each for `seconds`."""

    name = "exact"
    state = "hit"

    def __init__(self, link: RedisLink, seconds: int) -> None:
        self._link = link
        self._seconds = seconds

    def applies(self, exchange: Exchange, search: Search) -> bool:
        """To every request; one that is strict just finds nothing, and counts as looked for in memory."""
        return True

    async def look(self, exchange: Exchange, search: Search) -> KeptAnswer | None:
        """What another process, or an earlier one, keeps. What does not open counts as nothing, and in the metrics."""
        if search.strict:
            return None
        name = name_of(search)
        try:
            stored = await self._link.call("GET", name)
        except RedisAway:
            return None
        if stored is None:
            return None
        try:
            answer = sealed.opened(name, stored)
            if answer.workspace_id != search.workspace_id:
                raise Unreadable("of another workspace")
        except Unreadable:
            metrics.CACHE_UNREADABLE.inc()
            self._link.send("DEL", name)
            return None
        return answer

    def keep(self, exchange: Exchange, search: Search, answer: KeptAnswer) -> None:
        """Store it; what is sent while Redis is away is lost."""
        if not search.strict and len(answer.body) <= LARGEST and self._link.connected:
            name = name_of(search)
            self._link.send("SET", name, sealed.sealed(name, answer), "EX", self._seconds)


def name_of(search: Search) -> bytes:
    """What the answer to a request is called in Redis: its workspace and policy stand there for purges to find."""
    return f"{names(search.workspace_id)}{search.policy_id or BUILT_IN}:{search.key.hex()}".encode()


def names(workspace_id: str) -> str:
    """How the names of a workspace's answers begin."""
    return f"{NAMES}{workspace_id}:"


def configured() -> Shared | None:
    """The layer in the installation's Redis, if it has one."""
    link = redis_link.current
    return Shared(link, settings.CACHE_TTL) if link is not None else None
