"""Where a query's words occur in what was found, in whatever form: "running" is found in "runs"."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import connection

from rag.store.languages import config_of
from rag.store.words import UNSPACED, Term, clean, pairs, terms

# A word with what may stand within it ("3.14", "o'clock"; no end of a tag), and its parts.
_WHOLE = re.compile(r"[^\W_]+(?:[^\w\s<>]?[^\W_]+)*")
_PART = re.compile(r"[^\W_]+")

# For each passage's configuration: which of its words have no lexeme that is not the query's. So all of "3.14" is
# marked, whose parts mean something else, and of "moon/sun" the moon.
_SAME = """
WITH asked AS MATERIALIZED (
    SELECT config, ARRAY(
        SELECT unnest(tsvector_to_array(to_tsvector(config::regconfig, q))) FROM unnest(%(asked)s::text[]) q
    ) AS lexemes
    FROM (SELECT DISTINCT unnest(%(configs)s::text[]) AS config) c
)
SELECT w.config, w.word FROM unnest(%(configs)s::text[], %(words)s::text[]) w (config, word) JOIN asked USING (config)
WHERE tsvector_to_array(to_tsvector(w.config::regconfig, w.word)) <@ asked.lexemes
    AND to_tsvector(w.config::regconfig, w.word) <> ''
"""

Range = tuple[int, int]


def ranges(query: str, passages: Sequence[tuple[str, str]]) -> list[list[Range]]:
    """See `VectorStore.highlights`."""
    asked = [term for term in terms(query) if not term.excluded]
    if not asked or not passages:
        return [[] for _ in passages]
    cleaned = [(clean(content), config_of(language)) for content, language in passages]
    same = _same(asked, cleaned)
    signs = {pair for term in asked for run in UNSPACED.findall(term.text) for pair in pairs(run)}
    return [_merged([*_words(_spaced(content), same[config]), *_signs(content, signs)]) for content, config in cleaned]


def _same(asked: Sequence[Term], passages: Sequence[tuple[str, str]]) -> dict[str, set[str]]:
    """By configuration, the words of its passages that are the query's."""
    candidates = sorted({(config, word) for content, config in passages for word in _distinct(content)})
    found: dict[str, set[str]] = defaultdict(set)
    if candidates:
        configs, words = map(list, zip(*candidates, strict=True))
        with connection.cursor() as cursor:
            texts = [_spaced(term.text) for term in asked]
            cursor.execute(_SAME, {"configs": configs, "words": words, "asked": texts})
            for config, word in cursor.fetchall():
                found[config].add(word)
    return found


def _distinct(content: str) -> set[str]:
    spaced = _spaced(content)
    return {word for word in {*_WHOLE.findall(spaced), *_PART.findall(spaced)} if len(word) <= 100}


def _spaced(text: str) -> str:
    """With spaces, as many, in the place of scripts that have none."""
    return UNSPACED.sub(lambda run: " " * len(run[0]), text)


def _words(content: str, same: set[str]) -> Iterable[Range]:
    for whole in _WHOLE.finditer(content):
        if whole[0] in same:
            yield whole.span()
        else:
            yield from (part.span() for part in _PART.finditer(content, *whole.span()) if part[0] in same)


def _signs(content: str, signs: set[str]) -> Iterable[Range]:
    for sign in signs:
        # Looking ahead finds those that overlap, too.
        starts = (found.start() for found in re.finditer(f"(?={re.escape(sign)})", content))
        yield from ((start, start + len(sign)) for start in starts)


def _merged(found: Iterable[Range]) -> list[Range]:
    """In order, with those that touch or overlap made one."""
    merged: list[Range] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
