"""A query's words as Postgres knows them: lexemes, in each language that the space has documents of."""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from rag.models import Space
from rag.store.parts import SHARED, SHARED_TABLE, Layout, table
from rag.store.words import Term

# The configurations in use, by hopping along an index from one to the next.
_LEXEMES = """
WITH RECURSIVE used AS (
    (
        SELECT e.config FROM rag_entry e
        WHERE e.part IN (%(shared)s, %(space)s) AND e.space_id = %(space)s ORDER BY e.config LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT e.config FROM rag_entry e
        WHERE e.part IN (%(shared)s, %(space)s) AND e.space_id = %(space)s AND e.config > used.config
        ORDER BY e.config LIMIT 1
    ) FROM used WHERE used.config IS NOT NULL
)
SELECT t.n - 1, tsvector_to_array(to_tsvector(used.config::regconfig, rag_spaced(t.term))),
    CASE WHEN t.phrase THEN phraseto_tsquery(used.config::regconfig, rag_spaced(t.term))::text END
FROM used, unnest(%(terms)s::text[], %(phrases)s::boolean[]) WITH ORDINALITY t (term, phrase, n)
WHERE used.config IS NOT NULL
"""

# Which share of a part's entries has a lexeme, as ANALYZE found it; one that is not listed is rarer than those.
_FREQUENCIES = """
SELECT u.lexeme, u.frequency FROM pg_stats s,
    unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) u (lexeme, frequency)
WHERE s.schemaname = current_schema() AND s.tablename = %s AND s.attname = 'words' AND u.lexeme = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A term of the query: how it is asked for (`tsquery`), of how many alternatives, in which share of entries."""

    term: Term
    query: str
    alternatives: int
    frequency: float


def wanted(space: Space, layout: Layout, terms: list[Term]) -> list[Wanted]:
    """The terms as the space's languages have them. Words that a language leaves out are left out."""
    named: dict[str, Any] = {
        "shared": SHARED, "space": space.pk,
        "terms": [term.text for term in terms], "phrases": [term.phrase for term in terms],
    }  # fmt: skip
    lexemes: list[set[str]] = [set() for _ in terms]
    queries: list[set[str]] = [set() for _ in terms]
    with connection.cursor() as cursor:
        cursor.execute(_LEXEMES, named)
        for number, found, phrase in cursor.fetchall():
            lexemes[number].update(found)
            queries[number].update(map(_quoted, found) if phrase is None else filter(None, [phrase]))
        asked = sorted(set().union(*lexemes))
        cursor.execute(_FREQUENCIES, [table(space.pk) if layout.own else SHARED_TABLE, asked])
        frequency = dict(cursor.fetchall())
    return [
        Wanted(term, " | ".join(f"({each})" for each in sorted(asks)), len(asks), _frequency(term, names, frequency))
        for term, names, asks in zip(terms, lexemes, queries, strict=True)
        if asks
    ]


def _frequency(term: Term, lexemes: set[str], known: dict[str, float]) -> float:
    shares = [known.get(lexeme, 0.0) for lexeme in lexemes]
    return min(shares) if term.phrase else min(1.0, sum(shares))


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"
