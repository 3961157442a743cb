"""Prompts and answers of workspaces that keep them: sealed before they reach the spool, opened for who may read them.

Ciphertext is made and opened by functions of the vault's that `routing` hands in, since `analytics` does not import
`keys`. A content has a line of its own in the spool, behind its request's record, a table of its own, and its
workspace's own retention. Reading obeys that to the second; the rows go with the next round of `analytics.tasks`, and
the oldest of them before their time where a workspace has more than `MAX_WORKSPACE_BYTES`.
One that was made from documents quotes them, and goes with the first of them that is deleted.
"""

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.apps import apps
from django.utils import timezone
from psycopg import sql

from accounts.models import Workspace
from analytics import clock, tokens
from analytics.models import RequestContent, UsageRecord

# What a line of content begins with, so that it is told from a record without reading it.
MARK = b'{"content":'
# Bytes of a request, and of an answer, that are kept: a larger one is left out, and said to be.
MAX_BYTES = 1024 * 1024
# Rows that are deleted at a time.
BATCH = 5000

_opener: Callable[[bytes], bytes] | None = None

_TABLE = sql.Identifier(RequestContent._meta.db_table)
# The documents' table is of an application that this one does not import.
_ALL_THERE = sql.SQL(
    """
    NOT EXISTS (SELECT FROM unnest(documents) AS named (id)
                WHERE NOT EXISTS (SELECT FROM rag_document document WHERE document.id = named.id))
    """
)
_ENTER = sql.SQL(
    """
    INSERT INTO {table} (id, workspace_id, created_at, sealed, documents)
    SELECT id, workspace_id, created_at, convert_to(content, 'UTF8'), documents
    FROM spooled_content, jsonb_to_record(doc::jsonb) AS line (id uuid, workspace_id uuid, created_at timestamptz,
                                                               content text, documents uuid[])
    WHERE {all_there}
    ON CONFLICT (id) DO NOTHING
    """
).format(table=_TABLE, all_there=_ALL_THERE)
STAGE = "CREATE TEMP TABLE IF NOT EXISTS spooled_content (doc text) ON COMMIT DELETE ROWS"
COPY = "COPY spooled_content FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
_EXPIRED = sql.SQL(
    """
    DELETE FROM {table} WHERE id IN (
        SELECT content.id FROM {table} content JOIN accounts_workspace workspace ON workspace.id = content.workspace_id
        WHERE NOT workspace.store_content
           OR content.created_at < now() - workspace.content_retention_days * interval '1 day'
        LIMIT %s
    )
    """
).format(table=_TABLE)
_TOO_MANY = sql.SQL(
    "SELECT workspace_id FROM {table} GROUP BY workspace_id HAVING sum(octet_length(sealed)) > %s"
).format(table=_TABLE)
# The newest that has no room, with what came after it: it goes, and all that is older.
_NO_ROOM_SINCE = sql.SQL(
    """
    SELECT max(created_at) FROM (
        SELECT created_at, sum(octet_length(sealed)) OVER (ORDER BY created_at DESC, id DESC) AS size
        FROM {table} WHERE workspace_id = %s
    ) AS sized
    WHERE size > %s
    """
).format(table=_TABLE)
_OLDER = sql.SQL(
    """
    DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE workspace_id = %s AND created_at <= %s LIMIT %s)
    """
).format(table=_TABLE)
_QUOTING = sql.SQL("DELETE FROM {table} WHERE workspace_id = %s AND documents IS NOT NULL AND NOT {all_there}").format(
    table=_TABLE, all_there=_ALL_THERE
)
_QUOTING_ANY_OF = _QUOTING + sql.SQL(" AND documents && %s::uuid[]")


@dataclass(frozen=True, slots=True)
class Content:
    """What was asked, and answered: as JSON (None: a stream, or nothing) and as the text that the model wrote.

    `note` says why something is not there.
    """

    request: dict[str, Any] | None = None
    answer: Any = None
    text: str = ""
    note: str = ""


class Unreadable(Exception):
    """A ciphertext that cannot be turned back."""


def register_opener(opener: Callable[[bytes], bytes]) -> None:
    """Have `opener` turn ciphertext back, or raise Unreadable."""
    global _opener
    _opener = opener


# --- Writing -------------------------------------------------------------------------------------


def packed(request: dict[str, Any], answer: bytes) -> bytes:
    """What is to be sealed. Raises TypeError for a request that JSON cannot express."""
    asked = orjson.dumps(request)
    return zlib.compress(
        orjson.dumps(
            {
                "request": orjson.Fragment(asked) if len(asked) <= MAX_BYTES else None,
                "answer": answer.decode(errors="replace") if len(answer) <= MAX_BYTES else None,
            }
        ),
        level=1,
    )


def line(record: dict[str, Any], sealed: bytes) -> bytes:
    """A line of the spool with the content of `record`'s request; `sealed` is ASCII."""
    about = {name: record[name] for name in ("id", "workspace_id", "created_at")}
    if record.get("grounding"):
        about["documents"] = record["grounding"]["documents"]
    return orjson.dumps({"content": sealed.decode("ascii"), **about}, option=orjson.OPT_APPEND_NEWLINE)


def split(lines: bytes) -> tuple[bytes, bytes]:
    """(the records, the contents) among the lines of a segment."""
    if MARK not in lines:
        return lines, b""
    both: tuple[list[bytes], list[bytes]] = [], []
    for each in lines.splitlines(keepends=True):
        both[each.startswith(MARK)].append(each)
    return b"".join(both[0]), b"".join(both[1])


def enter(cursor: "psycopg.Cursor[Any]", contents: bytes) -> None:
    """Enter lines of content, each once, but for what quotes a document that is gone by now.

    For the ledger's writer, in its transaction.
    """
    with cursor.copy(COPY) as copy:
        copy.write(contents)
    cursor.execute(_ENTER)


# --- Reading -------------------------------------------------------------------------------------


def of(record: UsageRecord, workspace: Workspace) -> Content | None:
    """What was asked and answered in `record`, which is of `workspace`; None where it is not kept, or no more."""
    oldest = timezone.now() - timedelta(days=workspace.content_retention_days)
    if not workspace.store_content or record.created_at < oldest:
        return None
    row = RequestContent.objects.filter(pk=record.pk, workspace=workspace).first()
    if row is None or _opener is None or not _has_all_documents(row):
        return None
    try:
        kept = orjson.loads(zlib.decompress(_opener(bytes(row.sealed))))
    except Unreadable:
        return Content(note="It was encrypted with a key that is no longer part of ENCRYPTION_KEY.")
    return _shown(kept["request"], kept["answer"])


def _has_all_documents(row: RequestContent) -> bool:
    """Whether nothing that it quotes was deleted."""
    wanted = row.documents or []
    # Asked of the model by name, since `analytics` does not import `rag`.
    return not wanted or apps.get_model("rag", "Document")._default_manager.filter(pk__in=wanted).count() == len(wanted)


def _shown(request: dict[str, Any] | None, raw: str | None) -> Content:
    left_out = [name for name, part in (("request", request), ("answer", raw)) if part is None]
    note = f"Left out, as larger than {MAX_BYTES // 1024**2} MB: {' and '.join(left_out)}." if left_out else ""
    try:
        answer = orjson.loads(raw) if raw else None
    except ValueError:  # a stream's events
        answer = None
    return Content(request, answer, tokens.completion_text((raw or "").encode()), note)


def delete_quoting(connection: "psycopg.Connection[Any]", workspace_id: UUID, documents: Collection[UUID] = ()) -> int:
    """Delete what quotes any of `documents` that is gone, or without them any document at all that is; how many.

    `connection` is in autocommit mode.
    """
    with connection.transaction():
        # A batch that is being entered may have found them there still: it is seen below. A later one does not.
        clock.hold(connection)
    if not documents:
        return connection.execute(_QUOTING, [workspace_id]).rowcount
    return connection.execute(_QUOTING_ANY_OF, [workspace_id, list(documents)]).rowcount


def delete_expired(connection: "psycopg.Connection[Any]") -> int:
    """Delete what its workspace keeps no more; how many. `connection` is in autocommit mode."""
    return _delete(connection, _EXPIRED)


def delete_beyond(connection: "psycopg.Connection[Any]", size: int) -> int:
    """Delete the oldest of each workspace that keeps more than `size` bytes; how many. In autocommit mode."""
    deleted = 0
    for (workspace_id,) in connection.execute(_TOO_MANY, [size]).fetchall():
        (since,) = connection.execute(_NO_ROOM_SINCE, [workspace_id, size]).fetchone() or (None,)
        if since is not None:
            deleted += _delete(connection, _OLDER, workspace_id, since)
    return deleted


def _delete(connection: "psycopg.Connection[Any]", statement: sql.Composed, *values: Any) -> int:
    """Run a statement that deletes `BATCH` rows, until there are no more; how many there were."""
    total = 0
    while True:
        deleted = connection.execute(statement, [*values, BATCH]).rowcount
        total += deleted
        if deleted < BATCH:
            return total
