"""The entries that match a query's words best, ranked as BM25 does: by rare words, in few words, most.

Common words cannot make it slow: entries are fetched by the rare ones, or where there are none by several together,
and only so many are ranked.
"""

from typing import Any

from django.db import connection

from rag.models import Space
from rag.store import scoping
from rag.store.base import Hit, Scope
from rag.store.lexing import Wanted, wanted
from rag.store.parts import layout
from rag.store.planning import planned
from rag.store.words import terms

# Entries that are ranked, of each way to fetch them.
RANKED = 1_000
# Words are fetched by as long as together they bring about this many entries.
FETCHED = 4_000
# Words that count, rarest first.
COUNTED = 24

_RANK = """
term AS (
    SELECT n, query, alternatives, share
    FROM unnest(%s::tsquery[], %s::int[], %s::float[]) WITH ORDINALITY t (query, alternatives, share, n)
), sized AS MATERIALIZED (
    -- BM25's factor for a passage's length, with its usual constants (k1 1.2, b .75), as a share of what it is at most.
    -- Passages of a few words are no better for that.
    SELECT chunk_id, words, 1.3 / (1.3 + 0.9 * length(words) / greatest(20, avg(length(words)) OVER ())) AS brevity
    FROM found
), matched AS MATERIALIZED (
    -- ts_rank of one lexeme: more of them are better, ever less so, up to 1. It divides by the alternatives asked for.
    SELECT c.chunk_id, t.n, c.brevity * least(1, t.alternatives * ts_rank('{1, 1, 1, 1}', c.words, t.query)) AS part
    FROM sized c JOIN term t ON c.words @@ t.query
), weight AS (
    SELECT t.n, ln(1 + (b.n - d.n + 0.5) / (d.n + 0.5)) AS weight
    FROM term t, LATERAL (
        SELECT greatest((SELECT count(*) FROM matched m WHERE m.n = t.n), t.share * %s) AS n
    ) d, LATERAL (SELECT greatest(%s, d.n, (SELECT count(*) FROM found)) AS n) b
)
SELECT m.chunk_id, sum(m.part * w.weight) / (SELECT sum(weight) FROM weight) AS score
FROM matched m JOIN weight w USING (n) GROUP BY m.chunk_id ORDER BY score DESC, m.chunk_id LIMIT %s
"""


def search(space: Space, text: str, scope: Scope, k: int) -> list[Hit]:
    """See `VectorStore.search_text`."""
    asked = terms(text)
    if k < 1 or not scope.libraries or all(term.excluded for term in asked):
        return []
    with planned():
        lies = layout(space)
        found = wanted(space, lies, asked)
        liked = sorted((each for each in found if not each.term.excluded), key=lambda each: each.frequency)[:COUNTED]
        if not liked:
            return []
        extent = scoping.extent(space, lies, scope)
        where, values = scoping.entries(space, scope, extent.documents)
        for each in found:
            if each.term.excluded or each.term.required:
                where += f" AND {'NOT ' if each.term.excluded else ''}e.words @@ %s::tsquery"
                values.append(each.query)
        return _ranked(where, values, liked, extent.rows, k)


def _ranked(where: str, values: list[Any], liked: list[Wanted], rows: int, k: int) -> list[Hit]:
    ways = _ways(liked, rows)
    # Words are read once, whole, whatever is looked up in them: hence the empty one that is added.
    fetch = f"(SELECT e.chunk_id, e.words || ''::tsvector AS words FROM {where} AND e.words @@ %s::tsquery LIMIT %s)"  # noqa: S608
    fetched = " UNION ALL ".join([fetch] * len(ways))
    statement = f"""
        WITH found AS MATERIALIZED (SELECT DISTINCT ON (chunk_id) chunk_id, words FROM ({fetched}) f), {_RANK}
    """  # noqa: S608
    parameters: list[Any] = []
    for way in ways:
        parameters += [*values, way, RANKED]
    terms = zip(*((each.query, each.alternatives, each.frequency) for each in liked), strict=True)
    parameters += [*map(list, terms), rows, rows, k]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [Hit(chunk_id, float(score)) for chunk_id, score in cursor.fetchall()]


def _ways(liked: list[Wanted], rows: int) -> list[str]:
    """The queries that entries are fetched by; `liked` has the rarest term first."""
    rare, expected = 0, 0.0
    for each in liked:
        expected += each.frequency * rows
        if rare and expected > FETCHED:
            break
        rare += 1
    ways = [" | ".join(f"({each.query})" for each in liked[:rare])]
    if rare < len(liked):
        together = {2, 3, len(liked)} & set(range(2, len(liked) + 1))
        ways += [" & ".join(f"({each.query})" for each in liked[:count]) for count in sorted(together)]
    return ways
