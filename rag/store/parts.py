"""The parts of `rag_entry`: 0, which small spaces share, and one of its own for each space that has grown.

Entries are searched in both, in one statement, so that each is found exactly once however far it has been moved.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from rag.models import Space

SHARED = 0
# The advisory lock of those who move entries between parts.
MOVING = 0x72616750
LOCKS = 2**31
SHARED_TABLE = "rag_entry_shared"
# pgvector's HNSW takes halfvec up to this; longer ones are searched exactly.
MOST_INDEXED = 4000

_LAYOUT = """
SELECT c.reltuples::bigint, EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indexrelid = to_regclass(%s)
)
FROM pg_class c WHERE c.oid = to_regclass(%s)
"""

_HOLD_ALL = """
SELECT pg_advisory_xact_lock_shared(%s, (s.id %% %s)::int) FROM rag_space s
WHERE s.workspace_id = (SELECT d.workspace_id FROM rag_document d WHERE d.id = %s)
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a space lies: whether it has a part of its own, about how many rows that has, whether HNSW finds them."""

    own: bool
    rows: int
    indexed: bool


def table(space_id: int) -> str:
    """The name of a space's own part."""
    return f"rag_entry_{space_id}"


def hnsw(space_id: int) -> str:
    """The name of its index for vectors."""
    return f"{table(space_id)}_hnsw"


def words(space_id: int) -> str:
    """The name of its index for words."""
    return f"{table(space_id)}_words"


def layout(space: Space) -> Layout:
    """How the space lies now. A moment later it may lie otherwise: that changes a search's speed, not what it finds."""
    with connection.cursor() as cursor:
        cursor.execute(_LAYOUT, [hnsw(space.pk), table(space.pk)])
        found = cursor.fetchone()
    return Layout(False, 0, False) if found is None else Layout(True, max(0, found[0]), found[1])


def hold(space: Space) -> int:
    """Keep the space's entries in the parts that they are in until the transaction ends; several may do so at once.

    Returns the part that new entries go to.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [MOVING, lock_of(space.pk)])
        # A statement of its own, so that it sees what whoever moved them has committed.
        cursor.execute("SELECT partitioned FROM rag_space WHERE id = %s", [space.pk])
        found = cursor.fetchone()
    return int(space.pk) if found is not None and found[0] else SHARED


def hold_all(document_id: UUID) -> None:
    """The same for every space that may have entries of the document."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD_ALL, [MOVING, LOCKS, document_id])


def lock_of(space_id: int) -> int:
    """The second number of the space's advisory lock."""
    return space_id % LOCKS
