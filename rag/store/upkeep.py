"""Spaces that grow get a part and indexes of their own, and lose them when they shrink; searches go on meanwhile.

Every step can be repeated: what a killed worker left half done, the next round finishes. Rows are moved a few
documents a transaction, and a search sees each row in the one part or the other.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from gateway_project.lib.database import connect
from rag.store.parts import MOST_INDEXED, MOVING, SHARED, hnsw, lock_of, table, words

logger = logging.getLogger(__name__)

# A space of so many entries gets a part of its own, and keeps it until it has but that share of them: what wavers
# around a bound is not moved to and fro.
GROWN, SHRUNK = 20_000, 0.25
# Neighbours of a node in the graph, and how many are in view while it is built.
M, EF_CONSTRUCTION = 16, 200
# Documents whose entries are moved in one transaction.
AT_ONCE = 200
# Memory for building an index: what it needs, within these bounds (MiB).
LEAST_MEMORY, MOST_MEMORY = 64, 3072
# Of the advisory lock that lets one worker at a time do this.
_LOCK = 0x7261675F
# How long the rest may wait for a lock, while others wait behind it.
IMPATIENT = "2s"

Connection = psycopg.Connection[Any]

_GROWN = "SELECT space_id FROM rag_entry WHERE part = %s GROUP BY space_id HAVING count(*) >= %s"
# Those with a part, and whether they write to it: of these, what a broken-off round left is finished.
_OWN = """
SELECT s.id, s.partitioned FROM rag_space s
WHERE s.partitioned OR to_regclass('rag_entry_' || s.id) IS NOT NULL ORDER BY s.id
"""
_ORPHANS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'rag_entry'::regclass AND c.relname ~ '^rag_entry_[0-9]+$'
    AND NOT EXISTS (SELECT FROM rag_space s WHERE c.relname = 'rag_entry_' || s.id)
"""
# The documents' rows are locked first, so that none is deleted meanwhile; those that somebody changes wait for a round.
_HOLD = """
SELECT id FROM rag_document WHERE id IN (
    SELECT DISTINCT document_id FROM (
        SELECT document_id FROM rag_entry WHERE part = %s AND space_id = %s LIMIT %s
    ) e LIMIT %s
) ORDER BY id FOR KEY SHARE SKIP LOCKED
"""
_COLUMNS = "space_id, workspace_id, library_id, document_id, chunk_id, config, embedding, words"
_MOVE = f"""
WITH gone AS (
    DELETE FROM rag_entry WHERE part = %s AND space_id = %s AND document_id = ANY(%s) RETURNING {_COLUMNS}
)
INSERT INTO rag_entry (part, {_COLUMNS}) SELECT %s, {_COLUMNS} FROM gone
"""  # noqa: S608  (constants)


def maintain() -> None:
    """See `VectorStore.maintain`. Does nothing while another worker is at it."""
    with connect("vector store upkeep", options=f"-c lock_timeout={IMPATIENT} -c jit=off") as connection:
        if not connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()[0]:  # type: ignore[index]
            return
        for (space_id,) in connection.execute(_GROWN, [SHARED, GROWN]).fetchall():
            with _later():
                promote(connection, space_id)
        for space_id, in_use in connection.execute(_OWN).fetchall():
            with _later():
                if in_use and not _is_small(connection, space_id):
                    promote(connection, space_id)
                else:
                    demote(connection, space_id)
        for (name,) in connection.execute(_ORPHANS).fetchall():
            with _later():
                _drop(connection, name)


@contextmanager
def _later() -> Iterator[None]:
    """What must wait too long for others is left to the next round."""
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        logger.info("The vector store's upkeep waits for its next round: %s", type(error).__name__)


def promote(connection: Connection, space_id: int) -> None:
    """Give the space a part of its own, with its rows and with indexes. `connection` is in autocommit mode."""
    found = connection.execute("SELECT dimension FROM rag_space WHERE id = %s", [space_id]).fetchone()
    if found is None:
        return
    if connection.execute("SELECT to_regclass(%s) IS NULL", [table(space_id)]).fetchone()[0]:  # type: ignore[index]
        attach(connection, space_id)
    with _alone(connection, space_id):
        # From here on new entries go there.
        connection.execute("UPDATE rag_space SET partitioned = true WHERE id = %s", [space_id])
    _gather(connection, space_id)
    if _index(connection, space_id, found[0]):
        logger.info("Space %s has its own part of the vector store.", space_id)


def demote(connection: Connection, space_id: int) -> None:
    """Take the space's own part away. What was written to it meanwhile goes back to the shared one."""
    with _alone(connection, space_id):
        connection.execute("UPDATE rag_space SET partitioned = false WHERE id = %s", [space_id])
    _move(connection, space_id, space_id, SHARED)
    _drop(connection, table(space_id))


def attach(connection: Connection, space_id: int) -> None:
    """Made beside the table and then attached: unlike CREATE … PARTITION OF, that lets readers go on."""
    part, check = sql.Identifier(table(space_id)), sql.Identifier(f"{table(space_id)}_part")
    with connection.transaction():
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE rag_entry INCLUDING DEFAULTS INCLUDING STORAGE, ").format(part)
            + sql.SQL("CONSTRAINT {} CHECK (part = {}))").format(check, sql.Literal(space_id))
        )
        connection.execute(
            sql.SQL("ALTER TABLE rag_entry ATTACH PARTITION {} FOR VALUES IN ({})").format(part, sql.Literal(space_id))
        )


def _gather(connection: Connection, space_id: int) -> None:
    """Move what lies in the shared part to the space's own."""
    _move(connection, space_id, SHARED, space_id)


def _move(connection: Connection, space_id: int, source: int, target: int) -> None:
    while True:
        with _alone(connection, space_id):
            held = connection.execute(_HOLD, [source, space_id, 50 * AT_ONCE, AT_ONCE]).fetchall()
            if not held:
                return
            connection.execute(_MOVE, [source, space_id, [id for (id,) in held], target])


@contextmanager
def _alone(connection: Connection, space_id: int) -> Iterator[None]:
    """A transaction in which nobody writes entries of the space; see `parts.hold`. Waits for those who are at it."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", [MOVING, lock_of(space_id)])
        yield


def _index(connection: Connection, space_id: int, dimension: int) -> bool:
    """Make the part's own indexes where they are missing; whether one was. Readers and writers go on meanwhile."""
    part = sql.Identifier(table(space_id))
    made = _ensure_index(connection, words(space_id), sql.SQL("{} USING gin (words)").format(part))
    if dimension <= MOST_INDEXED and not _valid(connection, hnsw(space_id)):
        rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(part)).fetchone()[0]  # type: ignore[index]
        _remember(connection, rows, dimension)
        graph = sql.SQL(
            "{} USING hnsw ((embedding::halfvec({})) halfvec_cosine_ops) WITH (m = {}, ef_construction = {})"
        )
        settings = map(sql.Literal, (dimension, M, EF_CONSTRUCTION))
        made |= _ensure_index(connection, hnsw(space_id), graph.format(part, *settings))
    if made:
        connection.execute(sql.SQL("ANALYZE {}").format(part))
    return made


def _ensure_index(connection: Connection, name: str, definition: sql.Composed) -> bool:
    """Make an index ON `definition` unless there is one; whether there was none."""
    if _valid(connection, name):
        return False
    # One that is not valid was left by a build that was broken off.
    drop = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name))
    create = sql.SQL("CREATE INDEX CONCURRENTLY {} ON ").format(sql.Identifier(name)) + definition
    with _patient(connection):
        connection.execute(drop)
        try:
            connection.execute(create)
        except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory):
            # Building in several processes needs shared memory, of which a container may have little.
            connection.execute("SET max_parallel_maintenance_workers = 0")
            connection.execute(drop)
            connection.execute(create)
    return True


def _valid(connection: Connection, name: str) -> bool:
    found = connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name]).fetchone()
    return found is not None and bool(found[0])


def _remember(connection: Connection, rows: int, dimension: int) -> None:
    """Let a build have the memory that the graph takes: beyond it, it goes on in the index's pages, far slower."""
    needed = rows * (2 * dimension + 48 * M + 256) // 2**20
    memory = min(MOST_MEMORY, max(LEAST_MEMORY, needed))
    connection.execute(sql.SQL("SET maintenance_work_mem = {}").format(sql.Literal(f"{memory}MB")))


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """What is done CONCURRENTLY waits for transactions that began before, without anybody waiting for it."""
    connection.execute("SET lock_timeout = '10min'")
    try:
        yield
    finally:
        connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(IMPATIENT)))


def _is_small(connection: Connection, space_id: int) -> bool:
    """Whether the space has too few rows, in both parts, for a part of its own."""
    least = max(1, int(GROWN * SHRUNK))
    found = "SELECT count(*) FROM (SELECT FROM rag_entry WHERE part IN (%s, %s) AND space_id = %s LIMIT %s) AS first"
    rows = connection.execute(found, [SHARED, space_id, space_id, least]).fetchone()[0]  # type: ignore[index]
    return bool(rows < least)


def _drop(connection: Connection, name: str) -> None:
    """Detach and drop a part that is empty."""
    part = sql.Identifier(name)
    with _patient(connection):
        if (
            connection.execute("SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s)", [name]).fetchone()
            is not None
        ):
            connection.execute(sql.SQL("ALTER TABLE rag_entry DETACH PARTITION {} CONCURRENTLY").format(part))
    with connection.transaction():
        # In the order in which who deletes a document takes them: the part's foreign key goes with it.
        connection.execute("LOCK TABLE rag_document IN ACCESS EXCLUSIVE MODE")
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(part))
