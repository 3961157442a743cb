"""What lies in Redis, for who looks after it: counted and removed. Synchronous, for threads.

redis-py, 5 MB, is imported where there is a Redis.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from django.conf import settings

from gateway_project.lib.errors import ServiceUnavailable
from routing.cache import sealed, shared
from routing.cache.answer import KeptAnswer, Unreadable

if TYPE_CHECKING:
    import redis

# Seconds that Redis has for one answer, and names that are looked at in one go.
PATIENCE = 3.0
BATCH = 500


def sizes(workspace_id: str) -> dict[bytes, tuple[str, int]]:
    """The policy's id and the bytes of each answer of a workspace, by key. Raises `ServiceUnavailable`."""
    found: dict[bytes, tuple[str, int]] = {}
    if not settings.REDIS_URL:
        return found
    with _client() as client:
        for names in _names(client, workspace_id, None):
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.strlen(name)
            for name, size in zip(names, pipeline.execute(), strict=True):
                policy_id, key = _parts(name)
                if size:
                    found[key] = (policy_id, size)
    return found


def remove(workspace_id: str, policy_id: str | None, matches: Callable[[KeptAnswer], bool]) -> set[bytes]:
    """Remove the answers of a workspace, and of a policy, that match, and what does not open; the keys of those.

    Raises `ServiceUnavailable` where Redis is away.
    """
    gone: set[bytes] = set()
    if not settings.REDIS_URL:
        return gone
    with _client() as client:
        for names in _names(client, workspace_id, policy_id):
            meant = [
                name
                for name, value in zip(names, cast("list[bytes | None]", client.mget(names)), strict=True)
                if value is not None and _matches(name, value, matches)
            ]
            if meant:
                client.unlink(*meant)
                gone.update(_parts(name)[1] for name in meant)
    return gone


def _matches(name: bytes, value: bytes, matches: Callable[[KeptAnswer], bool]) -> bool:
    try:
        return matches(sealed.opened(name, value))
    except Unreadable:
        return True


@contextmanager
def _client() -> Iterator["redis.Redis"]:
    """A connection. Raises `ServiceUnavailable` for what goes wrong with it."""
    import redis

    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        ) as client:
            yield client
    except redis.RedisError:  # its words may hold the URL's password
        raise ServiceUnavailable("Redis, which holds answers too, is away: try again when it is back.") from None


def _names(client: "redis.Redis", workspace_id: str, policy_id: str | None) -> Iterator[list[bytes]]:
    """The names of a workspace's answers, or of one policy's there, some at a time."""
    policy = "*" if policy_id is None else policy_id or shared.BUILT_IN
    batch: set[bytes] = set()
    for name in client.scan_iter(match=f"{shared.names(workspace_id)}{policy}:*", count=BATCH):
        batch.add(name)
        if len(batch) >= BATCH:
            yield list(batch)
            batch.clear()
    if batch:
        yield list(batch)


def _parts(name: bytes) -> tuple[str, bytes]:
    """The policy's id and the key in a name that `shared.name_of` made."""
    policy, key = name.decode().rsplit(":", 2)[1:]
    return ("" if policy == shared.BUILT_IN else policy), bytes.fromhex(key)
