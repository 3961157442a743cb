"""What is due, and whose turn it is: the workspace with the least at work, then the one that was served longest ago."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from rag.ingest.lease import LASTS, Lease, Table, new_owner

# A row that is nobody's and whose time has come. Of documents the partial index `document_to_do` has these.
DUE = {
    "rag_document": "status IN ('queued', 'parsing', 'embedding') AND next_try_at <= now()"
    " AND (leased_until IS NULL OR leased_until <= now())",
    "rag_reembedding": "state = 'running' AND (leased_until IS NULL OR leased_until <= now())",
}

# The first of each workspace, but for those in `lost`, with how many of its rows are being worked at.
CANDIDATES = f"""
WITH due AS (
    (SELECT DISTINCT ON (workspace_id) 'rag_document' AS kind, id, workspace_id, next_try_at AS since
     FROM rag_document WHERE {DUE["rag_document"]} AND id <> ALL(%(lost)s::uuid[])
     ORDER BY workspace_id, next_try_at, id)
    UNION ALL
    (SELECT 'rag_reembedding', r.id, l.workspace_id, r.created_at
     FROM (SELECT * FROM rag_reembedding WHERE {DUE["rag_reembedding"]} AND id <> ALL(%(lost)s::uuid[])) r
     JOIN rag_library l ON l.id = r.library_id)
), busy AS (
    SELECT workspace_id, count(*) AS rows FROM rag_document
    WHERE status IN ('queued', 'parsing', 'embedding') AND leased_until > now() GROUP BY workspace_id
)
SELECT kind, id, due.workspace_id FROM due LEFT JOIN busy USING (workspace_id) ORDER BY coalesce(rows, 0), since, id
"""  # noqa: S608  (of constants)

_served: OrderedDict[UUID, float] = OrderedDict()
_lock = threading.Lock()
REMEMBERED = 10_000


@dataclass(frozen=True)
class Claim:
    """A row to work at, and the lease on it."""

    kind: Table
    id: UUID
    workspace_id: UUID
    lease: Lease


def next_claim() -> Claim | None:
    """The next row to work at, which is this worker's from now on; None when nothing is due."""
    lost: list[UUID] = []
    with connection.cursor() as cursor:
        while candidates := _candidates(cursor, lost):
            for kind, id, workspace_id in candidates:
                if (claim := _claim(cursor, kind, id, workspace_id)) is not None:
                    return claim
                # Another worker was faster; behind it the workspace may have more.
                lost.append(id)
    return None


def _candidates(cursor: Any, lost: list[UUID]) -> list[tuple[Table, UUID, UUID]]:
    cursor.execute(CANDIDATES, {"lost": lost})
    found: list[tuple[Table, UUID, UUID]] = cursor.fetchall()
    with _lock:
        # Stable: of those that wait equally long for their turn, the database's order.
        found.sort(key=lambda candidate: _served.get(candidate[2], 0.0))
    return found


def _claim(cursor: Any, kind: Table, id: UUID, workspace_id: UUID) -> Claim | None:
    """None when it is not to be had any more."""
    owner = new_owner()
    tried = ", tries = tries + 1" if kind == "rag_document" else ""
    cursor.execute(
        f"UPDATE {kind} SET lease_owner = %s, leased_until = now() + make_interval(secs => %s){tried}"  # noqa: S608
        f" WHERE id = (SELECT id FROM {kind} WHERE id = %s AND {DUE[kind]} FOR UPDATE SKIP LOCKED)",
        [owner, LASTS, id],
    )
    if not cursor.rowcount:
        return None
    _serve(workspace_id)
    return Claim(kind, id, workspace_id, Lease(kind, id, owner))


def others_wait(workspace_id: UUID) -> bool:
    """Whether another workspace has a row that is due."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM rag_document WHERE {DUE['rag_document']} AND workspace_id <> %s)",  # noqa: S608
            [workspace_id],
        )
        return bool(cursor.fetchone()[0])


def due() -> list[UUID]:
    """A few rows that are due and that nobody is at."""
    with connection.cursor() as cursor:
        cursor.execute(f"{CANDIDATES} LIMIT 4", {"lost": []})
        return [id for _, id, _ in cursor.fetchall()]


def _serve(workspace_id: UUID) -> None:
    with _lock:
        _served[workspace_id] = time.monotonic()
        _served.move_to_end(workspace_id)
        while len(_served) > REMEMBERED:
            _served.popitem(last=False)
