"""What a search may find, as SQL, and about how much that is: few rows are all compared, of many an index is asked."""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from rag import filters
from rag.models import Space
from rag.store.base import Scope
from rag.store.parts import SHARED, Layout

# Up to so many entries are compared one by one, which takes a few milliseconds and misses none.
FEW = 20_000
# Documents whose ids are carried from one statement to the next.
FEW_DOCUMENTS = 5_000
# Documents whose metadata are read one by one, where no index tells which of them a condition keeps.
READ_DOCUMENTS = 10_000

Values = list[Any]


@dataclass(frozen=True, slots=True)
class Extent:
    """At most about `rows` entries are in scope, all of `documents`, where these were looked up.

    These are an array of ids as SQL writes it: thousands of them go to the next statement as they came.
    """

    rows: int
    documents: str | None = None

    @property
    def few(self) -> bool:
        return self.rows <= FEW


def extent(space: Space, layout: Layout, scope: Scope) -> Extent:
    """How much is in scope, found out at a bounded cost."""
    if scope.condition is not None:
        found = _documents(space, scope, scope.condition)
        if found is not None:
            return found
    if scope.everything and layout.own:
        return Extent(layout.rows)
    return Extent(_count(space, scope))


def _documents(space: Space, scope: Scope, condition: filters.Condition) -> Extent | None:
    """Those that the condition keeps, unless they are many, or finding them would take long."""
    keeps, values = filters.sql(filters.of_documents(condition))
    within = "rag_document d WHERE d.workspace_id = %s"
    head: Values = [space.workspace_id]
    if not scope.everything:
        within += " AND d.library_id = ANY(%s)"
        head.append(list(scope.libraries))
    with connection.cursor() as cursor:
        if not filters.is_indexed(condition):
            cursor.execute(f"SELECT count(*) FROM (SELECT FROM {within} LIMIT %s) t", [*head, READ_DOCUMENTS + 1])  # noqa: S608
            if cursor.fetchone()[0] > READ_DOCUMENTS:
                return None
        cursor.execute(
            "SELECT count(*), coalesce(sum(chunks), 0)::bigint, coalesce(array_agg(id), '{}')::text"  # noqa: S608
            f" FROM (SELECT d.id, d.chunks FROM {within} AND {keeps} LIMIT %s) d",
            [*head, *values, FEW_DOCUMENTS + 1],
        )
        count, chunks, documents = cursor.fetchone()
    return None if count > FEW_DOCUMENTS else Extent(chunks, documents)


def _count(space: Space, scope: Scope) -> int:
    where, values = entries(space, Scope(scope.libraries, everything=scope.everything))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM (SELECT FROM {where} LIMIT %s) t", [*values, FEW + 1])  # noqa: S608
        return int(cursor.fetchone()[0])


def entries(space: Space, scope: Scope, documents: str | None = None) -> tuple[str, Values]:
    """`FROM … WHERE …` (without the FROM) of all entries in scope, as `e`; of `documents` where these are known."""
    tests = ["e.part IN (%s, %s)"]
    values: Values = [SHARED, space.pk]
    _narrow(space, scope, tests, values)
    condition = scope.condition
    if documents is not None:
        tests.append("e.document_id = ANY(%s::uuid[])")
        values.append(documents)
        if condition is not None and not filters.reads_chunks(condition):
            condition = None  # which chose the documents
    return _filtered(tests, values, condition)


def indexed(space: Space, scope: Scope) -> tuple[str, Values]:
    """The same for the space's own part alone, to be read along its index of vectors (see `nearest`).

    Postgres remembers what it found of a document (Memoize), as the next entries are often of the same one.
    """
    tests: list[str] = ["e.part = %s"]
    values: Values = [space.pk]
    _narrow(space, scope, tests, values)
    return _filtered(tests, values, scope.condition)


def _filtered(tests: list[str], values: Values, condition: filters.Condition | None) -> tuple[str, Values]:
    """Entries that fulfil `tests` and the condition, as `FROM … WHERE …` without the FROM."""
    tables = "rag_entry e"
    if condition is None:
        return f"{tables} WHERE {' AND '.join(tests)}", values
    tables += " JOIN rag_document d ON d.id = e.document_id"
    if filters.reads_chunks(condition):
        tables += " JOIN rag_chunk c ON c.id = e.chunk_id"
    keeps, more = filters.sql(condition)
    return f"{tables} WHERE {' AND '.join([*tests, keeps])}", [*values, *more]


def _narrow(space: Space, scope: Scope, tests: list[str], values: Values) -> None:
    tests += ["e.space_id = %s", "e.workspace_id = %s"]
    values += [space.pk, space.workspace_id]
    if not scope.everything:
        tests.append("e.library_id = ANY(%s)")
        values.append(list(scope.libraries))
