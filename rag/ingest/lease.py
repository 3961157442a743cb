"""Who works at a row, and until when: a lease in Postgres, which ends by itself when its holder does.

Every transaction of a holder begins with `Lease.hold`: it locks the row and fails when the row was deleted, cancelled,
queued anew or taken by another worker meanwhile. So whatever two workers believe, one writes.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from django.db import connection, transaction

logger = logging.getLogger(__name__)

Table = Literal["rag_document", "rag_reembedding"]

# Seconds after which a holder that gives no sign of life has lost its row, and between two signs.
LASTS, BEATS = 20, 5


class Lost(Exception):
    """The row is no longer this worker's; what it made of it is not wanted."""


class Lease:
    """A claim on one row. `owner` is new with each claim, so that an old claim of the same worker is none."""

    def __init__(self, table: Table, id: UUID, owner: str) -> None:
        self.table, self.id, self.owner = table, id, owner
        self._ended = threading.Event()
        self._lost = threading.Event()

    def hold(self, cursor: Any) -> None:
        """Lock the row until the transaction's end, and stay its holder. Raises `Lost`."""
        cursor.execute(
            f"UPDATE {self.table} SET leased_until = now() + make_interval(secs => %s)"  # noqa: S608  (one of two names)
            " WHERE id = %s AND lease_owner = %s",
            [LASTS, self.id, self.owner],
        )
        if not cursor.rowcount:
            self._lost.set()
            raise Lost

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A transaction of the holder; yields its cursor. Raises `Lost`."""
        with transaction.atomic(), connection.cursor() as cursor:
            self.hold(cursor)
            yield cursor

    def check(self) -> None:
        """Raise `Lost` when that is known already; asks nobody."""
        if self._lost.is_set():
            raise Lost

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Give signs of life while the block runs."""
        thread = threading.Thread(target=self._beat, name=f"lease-{self.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(BEATS)

    def _beat(self) -> None:
        while not self._ended.wait(BEATS):
            try:
                with self.transaction():
                    pass
            except Lost:
                return
            except Exception:
                # The database may be away for a moment; whether the row is lost shows at the next transaction.
                logger.warning("a lease on %s could not be renewed", self.id, exc_info=True)
            finally:
                connection.close()


def new_owner() -> str:
    """A name for a claim by this process, by which others on this machine see whether the process still runs."""
    return f"{_machine()}:{os.getpid()}:{_begun(os.getpid())}:{secrets.token_hex(4)}"


def free_leases_of_the_dead() -> int:
    """End the leases of processes of this machine that do not run any more. Returns how many there were."""
    freed = 0
    with connection.cursor() as cursor:
        for table in ("rag_document", "rag_reembedding"):
            cursor.execute(
                f"SELECT lease_owner FROM {table} WHERE leased_until > now() AND lease_owner LIKE %s",  # noqa: S608
                [f"{_machine()}:%"],
            )
            dead = [owner for (owner,) in cursor.fetchall() if not _runs(owner)]
            cursor.execute(f"UPDATE {table} SET leased_until = now() WHERE lease_owner = ANY(%s)", [dead])  # noqa: S608
            freed += cursor.rowcount
    return freed


def _runs(owner: str) -> bool:
    _, pid, begun, _ = owner.rsplit(":", 3)
    return _begun(int(pid)) == begun


def _begun(pid: int) -> str:
    """When the process began, in the kernel's ticks: its number may be another's by now. "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _machine() -> str:
    """Where process numbers mean the same: a boot of a machine, and a container on it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:13]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()[:30].replace(":", "-")
