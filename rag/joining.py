"""Makes one result of found chunks that stand beside each other in one section (`rag.passages` says which)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from django.db import connection

from rag.passages import Place, passages

if TYPE_CHECKING:
    from rag.retrieve import Result

# Characters of white space between two chunks of one passage.
MOST_BETWEEN = 1000

# One passage after the other, from each document's text.
_TEXTS = """
SELECT substr(t.text, p.start + 1, p.length)
FROM unnest(%s::uuid[], %s::int[], %s::int[]) WITH ORDINALITY p (document_id, start, length, n)
LEFT JOIN rag_documenttext t USING (document_id)
ORDER BY p.n
"""


def joined(results: Sequence["Result"], most: int) -> list["Result"]:
    """At most `most` results, best first, from chunks in their order; one query at most.

    A passage has the id and the score of its best chunk, begins where the first does and ends where the last does.
    """
    by_id = {result.chunk_id: result for result in results}
    places = [Place(each.chunk_id, each.document_id, each.ordinal, tuple(each.headings)) for each in results]
    groups = [[by_id[chunk] for chunk in group] for group in passages(places, most)]
    texts = [_overlapping(group) for group in groups]
    apart = [index for index, text in enumerate(texts) if text is None and _near(groups[index])]
    for index, text in zip(apart, _between([groups[index] for index in apart]), strict=True):
        texts[index] = text
    rank = {result.chunk_id: number for number, result in enumerate(results)}
    return [_whole(group, text, rank) for group, text in zip(groups, texts, strict=True)]


def _overlapping(group: Sequence["Result"]) -> str | None:
    """The text of chunks each of which begins within the one before it; None where there is something between two."""
    text, end = group[0].content, group[0].end
    for result in group[1:]:
        if result.start > end:
            return None
        text += result.content[end - result.start :]
        end = max(end, result.end)
    return text


def _near(group: Sequence["Result"]) -> bool:
    """Whether no more is between its chunks than a layout needs: they are short, and what is between need not be."""
    return all(after.start - before.end <= MOST_BETWEEN for before, after in pairwise(group))


def _between(groups: Sequence[Sequence["Result"]]) -> list[str | None]:
    """The documents' text from the first to the last chunk of each group; None where it is another text by now."""
    if not groups:
        return []
    documents = [group[0].document_id for group in groups]
    starts = [group[0].start for group in groups]
    lengths = [group[-1].end - group[0].start for group in groups]
    with connection.cursor() as cursor:
        cursor.execute(_TEXTS, [documents, starts, lengths])
        found: list[str | None] = [text for (text,) in cursor.fetchall()]
    return [
        text if text is not None and _holds(text, group) else None for text, group in zip(found, groups, strict=True)
    ]


def _holds(text: str, group: Sequence["Result"]) -> bool:
    begin = group[0].start
    return all(text[each.start - begin : each.end - begin] == each.content for each in group)


def _whole(group: Sequence["Result"], text: str | None, rank: dict[int, int]) -> "Result":
    best = min(group, key=lambda each: rank[each.chunk_id])
    if text is None:
        return best
    return replace(best, content=text, start=group[0].start, end=max(each.end for each in group), page=group[0].page)
