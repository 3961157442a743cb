"""Idempotency keys in Postgres: each statement settles one question for all processes. Synchronous, for threads.

A key is claimed for `LEASE` seconds, which its holder renews until there is an answer; so the key of a process that
died is free again within a minute. Every time is the database's own.
"""

import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import unquote
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from gateway_project.lib import database
from keys import vault
from rag.models import Document
from routing.models import IdempotentRequest

logger = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=45)
# After a start of the database, no lease is taken for lapsed: its holder could not renew it.
GRACE = timedelta(seconds=10)
# Rows that `purge` removes at a time.
BATCH = 1000
# Bytes of answers that are kept of one workspace: who has a key must not be able to fill everybody's disk.
MOST_OF_ONE = 1024**3
# Seconds between two looks at how many those are.
COUNT_EVERY = 60.0

# A database behind a dead network must not hold the few threads for long.
LIVENESS = {
    "connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}  # fmt: skip
STATEMENT_MS = 5000

# Of the headers of an answer, who it is of.
ANSWERED_BY = ("provider", "model", "privacy")

TABLE = sql.Identifier(IdempotentRequest._meta.db_table)
# Whether none of the documents that an answer quotes was deleted: to be asked as late as possible.
ALL_THERE = sql.SQL(
    """
    NOT EXISTS (SELECT FROM unnest(documents) AS named (id)
                WHERE NOT EXISTS (SELECT FROM {} document WHERE document.id = named.id))
    """
).format(sql.Identifier(Document._meta.db_table))
CLAIM = sql.SQL(
    """
    INSERT INTO {table} AS held
        (id, workspace_id, key_id, name, fingerprint, created_at, expires_at, lease_until, error_code)
    VALUES (%(id)s, %(workspace_id)s, %(key_id)s, %(name)s, %(fingerprint)s, now(), now() + %(kept_for)s,
        now() + %(lease)s, '')
    ON CONFLICT (key_id, name) DO UPDATE SET
        id = EXCLUDED.id, fingerprint = EXCLUDED.fingerprint, created_at = EXCLUDED.created_at,
        expires_at = EXCLUDED.expires_at, lease_until = EXCLUDED.lease_until,
        status = NULL, error_code = '', headers = NULL, sealed = NULL, documents = NULL
    WHERE held.expires_at <= now()
        OR held.lease_until <= now() AND held.fingerprint = EXCLUDED.fingerprint
            AND pg_postmaster_start_time() <= now() - %(grace)s
    RETURNING id
    """
).format(table=TABLE)
FIND = sql.SQL(
    """
    SELECT id::text, fingerprint = %(fingerprint)s, extract(epoch FROM now() - created_at)::float, status, error_code,
        headers, CASE WHEN fingerprint = %(fingerprint)s AND {all_there} THEN sealed END
    FROM {table} WHERE key_id = %(key_id)s AND name = %(name)s
    """
).format(table=TABLE, all_there=ALL_THERE)
KEEP = sql.SQL(
    """
    UPDATE {table} SET lease_until = NULL, status = %(status)s, error_code = %(error_code)s, headers = %(headers)s,
        sealed = %(sealed)s, documents = %(documents)s
    WHERE id = %(id)s AND status IS NULL
    """
).format(table=TABLE)
HELD = sql.SQL("SELECT coalesce(sum(octet_length(sealed)), 0) FROM {table} WHERE workspace_id = %s").format(table=TABLE)
RENEW = sql.SQL("UPDATE {table} SET lease_until = now() + %(lease)s WHERE id = %(id)s AND status IS NULL").format(
    table=TABLE
)
RELEASE = sql.SQL("DELETE FROM {table} WHERE id = %(id)s AND status IS NULL").format(table=TABLE)
FORGET = sql.SQL(
    "UPDATE {table} SET sealed = NULL WHERE workspace_id = %s AND sealed IS NOT NULL AND NOT {all_there}"
).format(table=TABLE, all_there=ALL_THERE)
PURGE = sql.SQL(
    "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE expires_at <= now() ORDER BY expires_at LIMIT %s)"
).format(table=TABLE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with an idempotency key: whose key it is, and the digests of its value and of what is asked."""

    id: str
    workspace_id: str
    key_id: str
    name: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A first answer as it was sent.

    `body` is None where it, or all that is kept of its workspace, was too large to be kept, where it cannot be read
    any more, or quotes a document that was deleted.
    """

    request_id: str
    status: int
    error_code: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)

    @property
    def answered_by(self) -> tuple[str, str, str]:
        """The provider, the model and the locality, as its headers tell them; "" where nobody answered."""
        said = dict(self.headers)
        provider, model, locality = (unquote(said.get(f"x-gateway-{name}", "")) for name in ANSWERED_BY)
        return provider, model, locality


@dataclass(frozen=True, slots=True)
class Running:
    """The key's first request has no answer yet, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class OtherRequest:
    """The key belongs to a request that asked for something else."""

    request_id: str


Found = Kept | Running | OtherRequest

# Each thread's own connection, kept from one call to the next.
_own = threading.local()
# By workspace: until when (`time.monotonic`) it is known how many bytes are kept of it, and how many.
_held: dict[str, tuple[float, int]] = {}
_counting = threading.Lock()
MOST_KNOWN = 10_000


def _with_connection(work: Callable[[psycopg.Connection[Any]], T]) -> T:
    """`work` on this thread's connection, once more on a new one if the old one was dead. Raises `psycopg.Error`."""
    held: psycopg.Connection[Any] | None = getattr(_own, "connection", None)
    if held is not None and not held.closed:
        try:
            return work(held)
        except psycopg.OperationalError:
            if not held.closed:
                raise
    _own.connection = database.connect("gateway idempotency", **LIVENESS)
    _own.connection.execute(f"SET statement_timeout = {STATEMENT_MS}")
    return work(_own.connection)


def claim(asked: Asked) -> Found | None:
    """Take the key for `asked`; None: it is taken, and to be renewed. Else what stands in the way."""
    values = {name: getattr(asked, name) for name in Asked.__slots__}
    values |= {"kept_for": KEPT_FOR, "lease": LEASE, "grace": GRACE}

    def work(connection: psycopg.Connection[Any]) -> Found | None:
        while True:
            if connection.execute(CLAIM, values).fetchone() is not None:
                return None
            row = connection.execute(FIND, values).fetchone()
            if row is not None:  # else it was released in between
                # Its own, where the connection broke after the claim had arrived.
                return None if row[0] == asked.id else _found(*row)

    return _with_connection(work)


def _found(
    request_id: str,
    same: bool,
    seconds: float,
    status: int | None,
    error_code: str,
    headers: list[tuple[str, str]] | None,
    sealed: bytes | None,
) -> Found:
    if not same:
        return OtherRequest(request_id)
    if status is None:
        return Running(seconds)
    shown = tuple((name, value) for name, value in headers or ())
    return Kept(request_id, status, error_code, shown, None if sealed is None else _opened(request_id, sealed))


def _opened(request_id: str, sealed: bytes) -> bytes | None:
    try:
        return zlib.decompress(vault.open_bytes(sealed))
    except vault.VaultError:
        logger.error("the answer that is kept of request %s cannot be opened: %s", request_id, "ENCRYPTION_KEY changed")
        return None


def keep(kept: Kept, packed: bytes | None, workspace_id: str, documents: Sequence[str] = ()) -> None:
    """Keep the answer of the request that holds its key, made from `documents`.

    `packed` is its body, compressed; None: too large. Where too much is kept of the workspace, the body is not.
    Nothing is kept for a request that has lost its key meanwhile.
    """
    sealed = None if packed is None else vault.seal_bytes(packed)
    values = {
        "id": kept.request_id,
        "status": kept.status,
        "error_code": kept.error_code,
        "headers": Jsonb(kept.headers),
        "documents": list(map(UUID, documents)) or None,
    }

    def work(connection: psycopg.Connection[Any]) -> None:
        fits = sealed is not None and _has_room(connection, workspace_id, len(sealed))
        connection.execute(KEEP, values | {"sealed": sealed if fits else None})

    _with_connection(work)


def _has_room(connection: psycopg.Connection[Any], workspace_id: str, size: int) -> bool:
    """Whether `size` more bytes may be kept of the workspace; if so they are counted."""
    with _counting:
        until, held = _held.get(workspace_id, (0.0, 0))
    now = time.monotonic()
    if until <= now:
        until, (held,) = now + COUNT_EVERY, connection.execute(HELD, (workspace_id,)).fetchone() or (0,)
    fits: bool = held + size <= MOST_OF_ONE
    with _counting:
        if len(_held) >= MOST_KNOWN:
            _held.clear()
        _held[workspace_id] = until, held + (size if fits else 0)
    return fits


def renew(request_id: str) -> bool:
    """Vouch for another `LEASE` that the request is being answered. False when it does not hold its key any more."""
    values = {"id": request_id, "lease": LEASE}
    return _with_connection(lambda connection: connection.execute(RENEW, values).rowcount > 0)


def release(request_id: str) -> None:
    """There will be no answer to keep: the key is free again."""
    _with_connection(lambda connection: connection.execute(RELEASE, {"id": request_id}))


def forget(connection: psycopg.Connection[Any], workspace_id: UUID) -> None:
    """Drop the bodies of the workspace's answers that quote a document which was deleted; their keys stay used."""
    connection.execute(FORGET, (workspace_id,))


def purge() -> int:
    """Remove the answers of more than a day ago; how many those were."""
    total = 0
    with database.connect("gateway idempotency") as connection:
        while True:
            removed = connection.execute(PURGE, (BATCH,)).rowcount
            total += removed
            if removed < BATCH:
                return total
