"""Answers beside the vectors of their prompts, in Postgres with pgvector. Synchronous, for threads.

Postgres, because what it holds outlives a process and is shared by all of them, a purge is one statement that no
process can miss, and a search within one scope reads the few rows that a btree finds: a workspace's bound keeps even
the largest scope within milliseconds, exactly, without an index that would have to be rebuilt. Prompts and answers lie
there encrypted, under a key derived from the vault's, each bound to its own place. Their vectors do not: distances
could not be computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from rag.embedding import client
from routing.cache import sealed
from routing.cache.answer import KeptAnswer, Unreadable
from routing.models import SemanticAnswer, SemanticShelf, SemanticThreshold

# Stored prompts that are looked at, nearest first.
NEAREST = 8
# Bytes of a row beside what is sealed in it.
OVERHEAD = 512

_ANSWER, _SHELF, _THRESHOLD = (
    each._meta.db_table for each in (SemanticAnswer, SemanticShelf, SemanticThreshold)
)  # fmt: skip

_LOOK = f"""
SELECT id, 1 - (embedding <=> %(vector)s::halfvec) AS similarity, key, sealed, created_at
FROM {_ANSWER} WHERE scope = %(scope)s AND space = %(space)s AND expires_at > statement_timestamp()
ORDER BY embedding <=> %(vector)s::halfvec LIMIT {NEAREST}
"""  # noqa: S608  (tables' names, here and below)
_MOVED = f"SELECT value FROM {_THRESHOLD} WHERE workspace_id = %s AND policy_id = %s AND space = %s"  # noqa: S608
_LOCK = f"""
INSERT INTO {_SHELF} AS shelf (workspace_id, entries, bytes) VALUES (%s, 0, 0)
ON CONFLICT (workspace_id) DO UPDATE SET entries = shelf.entries
RETURNING entries, bytes, purged_at
"""  # noqa: S608
_PUT = f"""
INSERT INTO {_ANSWER} (workspace_id, scope, key, space, embedding, sealed, size, key_id, policy_id, provider, model,
    requested_model, created_at, used_at, expires_at)
VALUES (%(workspace_id)s, %(scope)s, %(key)s, %(space)s, %(vector)s::halfvec, %(sealed)s, %(size)s, %(key_id)s,
    %(policy_id)s, %(provider)s, %(model)s, %(requested_model)s, statement_timestamp(), statement_timestamp(),
    to_timestamp(%(expires_at)s))
"""  # noqa: S608
# The oldest first, until so many and so many bytes are left.
_TRIM = f"""
DELETE FROM {_ANSWER} WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER last AS place, sum(size) OVER last AS bytes FROM {_ANSWER} WHERE workspace_id = %s
        WINDOW last AS (ORDER BY used_at DESC, id DESC)
    ) AS held WHERE place > %s OR bytes > %s
) RETURNING size
"""  # noqa: S608
_GROWN = f"UPDATE {_SHELF} SET entries = entries + %s, bytes = bytes + %s WHERE workspace_id = %s"  # noqa: S608
_SIZES = f"SELECT key, policy_id, size FROM {_ANSWER} WHERE workspace_id = %s AND expires_at > now()"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Place:
    """Where answers to a prompt lie: among those of equal `scope`, whose vectors are of the same `space`."""

    workspace_id: str
    policy_id: str
    scope: bytes
    space: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored prompt that is near, and its answer."""

    id: int
    similarity: float
    prompt: str
    answer: KeptAnswer
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Nearby:
    """`neighbours`, the nearest first; what a policy's threshold has moved to by itself; the database's clock."""

    neighbours: list[Neighbour]
    moved_to: float | None
    now: datetime


@contextmanager
def cursor() -> Iterator[CursorWrapper]:
    """A cursor on a pooled connection, which is given back at the end: threads here come and go."""
    try:
        with connection.cursor() as opened:
            yield opened
    finally:
        if not connection.in_atomic_block:
            connection.close()


def look(place: Place, least: float) -> Nearby:
    """What lies near `place`, of at least that cosine. What does not open is removed."""
    wanted: dict[str, Any] = {
        "vector": client.to_halfvec_text(place.vector),
        "scope": place.scope,
        "space": place.space,
    }
    found: list[Neighbour] = []
    with cursor() as c:
        c.execute("SELECT statement_timestamp()")
        now = c.fetchone()[0]
        c.execute(_MOVED, [place.workspace_id, place.policy_id, place.space])
        moved = c.fetchone()
        c.execute(_LOOK, wanted)
        for row_id, similarity, key, stored, made_at in c.fetchall():
            if similarity < least:
                break
            try:
                prompt, answer = _opened(bytes(key), bytes(stored))
            except Unreadable:
                c.execute(f"DELETE FROM {_ANSWER} WHERE id = %s", [row_id])  # noqa: S608
                continue
            found.append(Neighbour(row_id, similarity, prompt, answer, made_at))
    return Nearby(found, moved[0] if moved else None, now)


def touch(row_id: int) -> None:
    """It was given: it is the last to make room."""
    with cursor() as c:
        c.execute(f"UPDATE {_ANSWER} SET used_at = statement_timestamp() WHERE id = %s", [row_id])  # noqa: S608


def put(place: Place, key: bytes, prompt: str, answer: KeptAnswer, asked_at: datetime) -> bool:
    """Keep `answer` to `prompt`, which was asked at that moment of the database's clock, under the request's `key`.

    False where a purge came after it, or it is too large.
    """
    stored = _sealed(key, prompt, answer)
    size = len(stored) + len(place.vector) // 2 + OVERHEAD
    if size * 16 > settings.SEMANTIC_CACHE_MAX_BYTES:
        return False
    row: dict[str, Any] = {
        "workspace_id": place.workspace_id, "scope": place.scope, "key": key, "space": place.space,
        "vector": client.to_halfvec_text(place.vector), "sealed": stored, "size": size, "key_id": answer.key_id,
        "policy_id": place.policy_id, "provider": answer.provider, "model": answer.model,
        "requested_model": answer.requested_model, "expires_at": answer.expires_at,
    }  # fmt: skip
    try:
        with transaction.atomic(), connection.cursor() as c:
            c.execute(_LOCK, [place.workspace_id])
            entries, held, purged_at = c.fetchone()
            if purged_at is not None and purged_at >= asked_at:
                return False
            gone = _removed(c, "key = %s", [key])
            c.execute(_PUT, row)
            entries, held = entries + 1 - len(gone), held + size - sum(gone)
            if entries > settings.SEMANTIC_CACHE_MAX_SIZE or held > settings.SEMANTIC_CACHE_MAX_BYTES:
                c.execute(
                    _TRIM, [place.workspace_id, settings.SEMANTIC_CACHE_MAX_SIZE, settings.SEMANTIC_CACHE_MAX_BYTES]
                )
                gone += [trimmed for (trimmed,) in c.fetchall()]
            c.execute(_GROWN, [1 - len(gone), size - sum(gone), place.workspace_id])
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return True


def purge(
    workspace_id: str, *, key_id: str | None = None, policy_id: str | None = None, model: str | None = None
) -> set[bytes]:
    """Remove the workspace's answers to which all that is named applies; their requests' keys.

    What is asked before the end of the transaction around this is not kept.
    """
    named, values = ["workspace_id = %s"], [workspace_id]
    if key_id is not None:
        named.append("key_id = %s")
        values.append(key_id)
    if policy_id is not None:
        named.append("policy_id = %s")
        values.append(policy_id)
    if model is not None:
        named.append("%s IN (model, provider || '/' || model, requested_model)")
        values.append(model)
    with transaction.atomic(), connection.cursor() as c:
        c.execute(_LOCK, [workspace_id])
        c.execute(f"DELETE FROM {_ANSWER} WHERE {' AND '.join(named)} RETURNING key, size", values)  # noqa: S608
        gone = c.fetchall()
        c.execute(_GROWN, [-len(gone), -sum(size for _, size in gone), workspace_id])
        c.execute(f"UPDATE {_SHELF} SET purged_at = clock_timestamp() WHERE workspace_id = %s", [workspace_id])  # noqa: S608
    return {bytes(key) for key, _ in gone}


def sizes(workspace_id: str) -> dict[bytes, tuple[str, int]]:
    """The policy's id and the bytes of each answer of a workspace, by its request's key."""
    with connection.cursor() as c:
        c.execute(_SIZES, [workspace_id])
        return {bytes(key): (policy_id, size) for key, policy_id, size in c.fetchall()}


def sweep() -> int:
    """Remove the answers whose time is over; how many there were."""
    removed = 0
    for (workspace_id,) in SemanticShelf.objects.values_list("workspace_id"):
        with transaction.atomic(), connection.cursor() as c:
            c.execute(_LOCK, [workspace_id])
            gone = _removed(c, "workspace_id = %s AND expires_at <= statement_timestamp()", [workspace_id])
            # Counted anew: whatever made the sums wrong does so for no longer than this.
            c.execute(
                f"UPDATE {_SHELF} SET (entries, bytes) = (SELECT count(*), coalesce(sum(size), 0) FROM {_ANSWER} "  # noqa: S608
                "WHERE workspace_id = %s) WHERE workspace_id = %s",
                [workspace_id, workspace_id],
            )
            removed += len(gone)
    return removed


def _removed(c: CursorWrapper, where: str, values: list[Any]) -> list[int]:
    """Remove rows; the size of each."""
    c.execute(f"DELETE FROM {_ANSWER} WHERE {where} RETURNING size", values)  # noqa: S608
    return [size for (size,) in c.fetchall()]


def _sealed(key: bytes, prompt: str, answer: KeptAnswer) -> bytes:
    text = prompt.encode("utf-8", "surrogatepass")
    return sealed.sealed_bytes(_name(key), len(text).to_bytes(4, "big") + text + answer.to_bytes())


def _opened(key: bytes, stored: bytes) -> tuple[str, KeptAnswer]:
    """Raises `Unreadable`."""
    plain = sealed.opened_bytes(_name(key), stored)
    end = 4 + int.from_bytes(plain[:4], "big")
    return plain[4:end].decode("utf-8", "surrogatepass"), KeptAnswer.from_bytes(plain[end:])


def _name(key: bytes) -> bytes:
    return b"semantic:" + key
