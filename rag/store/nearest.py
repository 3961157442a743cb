"""The entries nearest to a vector: exactly where few are in scope, else by HNSW with an iterative scan.

Neither a filter nor a library costs recall: the scan goes on until it has found enough that may be found, and what it
gives up on is compared exactly.
"""

from typing import Any

from django.db import connection

from rag.models import Space
from rag.store import scoping
from rag.store.base import Hit, Scope
from rag.store.parts import SHARED, layout
from rag.store.planning import adjust, planned
from rag.store.vectors import literal

# Nearest neighbours that HNSW keeps in view: more of them find more, and take longer. With fewer, a search in a million
# clustered vectors may end in the wrong cluster.
EF_SEARCH = 600
# Entries that a scan looks at before it gives up, when few of those near the query may be found.
MAX_SCAN = 40_000

# The index of vectors is the only way that needs no sorting.
_BY_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.max_scan_tuples": str(MAX_SCAN),
    "hnsw.scan_mem_multiplier": "4",
}


def search(space: Space, vector: bytes, scope: Scope, k: int) -> list[Hit]:
    """See `VectorStore.search_vector`."""
    text = literal(vector, space.dimension)
    if k < 1 or not scope.libraries:
        return []
    with planned():
        lies = layout(space)
        if not lies.indexed:
            return exact(space, text, scope, k)
        extent = scoping.extent(space, lies, scope)
        if extent.few:
            return exact(space, text, scope, k, extent.documents)
        adjust({**_BY_INDEX, "hnsw.ef_search": str(min(1000, max(EF_SEARCH, 2 * k)))})
        hits = approximate(space, text, scope, k)
    if len(hits) == k:
        return hits
    # Either there are no more, or the scan gave up.
    with planned():
        return exact(space, text, scope, k)


def exact(space: Space, vector: str, scope: Scope, k: int, documents: str | None = None) -> list[Hit]:
    """Compare `vector` with every entry in scope."""
    where, values = scoping.entries(space, scope, documents)
    return _hits(
        f"SELECT e.chunk_id, e.embedding <=> %s::halfvec AS distance FROM {where} ORDER BY distance, 1 LIMIT %s",  # noqa: S608
        [vector, *values, k],
    )


def approximate(space: Space, vector: str, scope: Scope, k: int) -> list[Hit]:
    """Ask the index of the space's own part, and compare what may still lie in the shared one.

    An iterative scan finds them in about their order only, which Postgres takes for the order: hence the `+ 0`.
    """
    near, near_values = scoping.indexed(space, scope)
    rest, rest_values = scoping.entries(space, scope)
    length = int(space.dimension)
    return _hits(
        f"""
        WITH near AS MATERIALIZED (
            SELECT e.chunk_id, e.embedding::halfvec({length}) <=> %s::halfvec({length}) AS distance
            FROM {near} ORDER BY distance LIMIT %s
        ), rest AS MATERIALIZED (
            SELECT e.chunk_id, e.embedding <=> %s::halfvec AS distance FROM {rest} AND e.part = %s
            ORDER BY distance LIMIT %s
        )
        SELECT chunk_id, distance FROM (SELECT * FROM near UNION ALL SELECT * FROM rest) t
        ORDER BY distance + 0, chunk_id LIMIT %s
        """,  # noqa: S608
        [vector, *near_values, k, vector, *rest_values, SHARED, k, k],
    )


def _hits(statement: str, values: list[Any]) -> list[Hit]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [Hit(chunk_id, 1.0 - distance) for chunk_id, distance in cursor.fetchall()]
