"""The smallest parts of a text that a chunk may begin or end with: sentences, lines of tables, code and lists."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sentencex import get_sentence_boundaries

from rag.chunk.piece import TokenOffsets
from rag.extract.model import Block, Extracted

# Of these, a line is a part; of all others a sentence is.
BY_LINE = frozenset({"table", "code", "list"})
LINE = re.compile(r"[^\n]+")
# A paragraph's end in a text that was quoted by a program (a log, a JSON string): a backslash and an n.
ESCAPED_BREAK = re.compile(r"(?:\\r)?\\n(?:(?:\\r)?\\n)*")
SENTENCE_LANGUAGE = "en"
# A token may stand for any number of characters: a word that the model does not know, white space. So many count as one
# at least, so that nobody's document makes a passage of a megabyte; words in any script have fewer.
CHARACTERS_OF_TOKEN = 25
# Sentences are looked for in so many characters at a time, and in fewer where there are many brackets and quotation
# marks: those that are left open take time by their square.
AT_ONCE, AT_ONCE_OF_MARKS = 20_000, 4_000
MARKS, MANY_MARKS = "[(\u201c\u2018'\u00ab", 1_000


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]`, of the paragraph with this number.

    `tokens` are without those that a model adds of its own, and count the white space before it where that is long.
    """

    start: int
    end: int
    paragraph: int
    kind: str
    page: int | None
    tokens: int


def units(extracted: Extracted, count: TokenOffsets, most: int) -> Iterator[Unit]:
    """The units of a text in their order, none of more than `most` tokens, or of more than 25 characters for each."""
    paragraph = before = 0
    for block in extracted.blocks or _whole(extracted.text):
        for start, end in _paragraphs(extracted.text, block):
            tokens_at = count(extracted.text[start:end])
            begins, ends = [begin for begin, _ in tokens_at], [end for _, end in tokens_at]
            for first, last in _parts(extracted, block, start, end):
                fitting = _fitting(extracted.text, begins, ends, start, first, last, most)
                for a, b, tokens in _short(extracted.text, fitting, most * CHARACTERS_OF_TOKEN):
                    least = -(-(b - before) // CHARACTERS_OF_TOKEN)
                    yield Unit(a, b, paragraph, block.kind, block.page, max(tokens, least))
                    before = b
            paragraph += 1


def _whole(text: str) -> list[Block]:
    return [Block("paragraph", 0, len(text))]


def _paragraphs(text: str, block: Block) -> Iterator[tuple[int, int]]:
    """The block itself, or the paragraphs that are escaped in it."""
    if block.kind in BY_LINE:
        yield block.start, block.end
        return
    start = block.start
    for found in ESCAPED_BREAK.finditer(text, block.start, block.end):
        if text[start : found.start()].strip():
            yield start, found.start()
            start = found.end()
    if text[start : block.end].strip():
        yield start, block.end


def _parts(extracted: Extracted, block: Block, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Lines or sentences, without the white space around them."""
    text = extracted.text
    if block.kind in BY_LINE:
        bounds = [found.span() for found in LINE.finditer(text, start, end)]
    elif block.kind == "heading":
        bounds = [(start, end)]
    else:
        bounds = list(_sentences(text, start, end, extracted.language or SENTENCE_LANGUAGE))
    for first, last in bounds:
        trimmed = _trimmed(text, first, last)
        if trimmed is not None:
            yield trimmed


def _sentences(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Where each sentence begins and ends; those at the border of what is looked at in one go are cut there."""
    while start < end:
        marks = sum(text.count(mark, start, min(end, start + AT_ONCE)) for mark in MARKS)
        most = AT_ONCE if marks < MANY_MARKS else AT_ONCE_OF_MARKS
        until = _break(text, start, start + most) if end - start > most else end
        for each in get_sentence_boundaries(language, text[start:until]):
            yield start + each["start_index"], start + each["end_index"]
        start = until


def _break(text: str, start: int, end: int) -> int:
    """Behind the last line, sentence or word that ends in the second half of `text[start:end]`; else its end."""
    middle = (start + end) // 2
    for mark in ("\n", ". ", " "):
        found = text.rfind(mark, middle, end)
        if found >= 0:
            return found + len(mark)
    return end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    content = text[start:end]
    left = len(content) - len(content.lstrip())
    stripped = len(content.strip())
    return (start + left, start + left + stripped) if stripped else None


def _fitting(
    text: str, begins: list[int], ends: list[int], offset: int, start: int, end: int, most: int
) -> Iterator[tuple[int, int, int]]:
    """`(start, end, tokens)` of a part, or of the pieces of one that is too long, cut between tokens.

    `begins` and `ends` are where the tokens begin and end, counted from `offset`; one that a part has only half of
    counts in both. A cut falls behind white space if it can.
    """
    first, last = bisect_right(ends, start - offset), bisect_left(begins, end - offset)
    while last - first > most:
        cut = _at_a_space(text, begins, offset, first, first + most)
        until = offset + begins[cut]
        trimmed = _trimmed(text, start, until)
        if trimmed is not None:
            yield (*trimmed, cut - first)
        start, first = until, cut
    trimmed = _trimmed(text, start, end)
    if trimmed is not None:
        yield (*trimmed, max(1, last - first))


def _short(text: str, parts: Iterable[tuple[int, int, int]], longest: int) -> Iterator[tuple[int, int, int]]:
    """The same, those of more than `longest` characters in pieces; nobody knows which of them its tokens are in."""
    for start, end, tokens in parts:
        while end - start > longest:
            cut = _break(text, start, start + longest)
            if (trimmed := _trimmed(text, start, cut)) is not None:
                yield (*trimmed, tokens)
            start = cut
        if (trimmed := _trimmed(text, start, end)) is not None:
            yield (*trimmed, tokens)


def _at_a_space(text: str, begins: list[int], offset: int, first: int, cut: int) -> int:
    """The last token up to `cut`, in the second half of the piece, before which there is white space; else `cut`."""
    for index in range(cut, (first + cut) // 2, -1):
        if text[offset + begins[index] - 1].isspace():
            return index
    # Bytes of one character may be several tokens; a cut between them would move nothing on.
    while cut < len(begins) - 1 and begins[cut] <= begins[first]:
        cut += 1
    return cut
