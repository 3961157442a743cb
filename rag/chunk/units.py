"""The smallest parts of a text that a chunk may begin or end with: sentences, lines of tables, code and lists."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
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


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]`, of the paragraph with this number; `tokens` without those that a model adds of its own."""

    start: int
    end: int
    paragraph: int
    kind: str
    page: int | None
    tokens: int


def units(extracted: Extracted, count: TokenOffsets, most: int) -> Iterator[Unit]:
    """The units of a text in their order, none of more than `most` tokens."""
    paragraph = 0
    for block in extracted.blocks or _whole(extracted.text):
        for start, end in _paragraphs(extracted.text, block):
            tokens_at = count(extracted.text[start:end])
            begins, ends = [begin for begin, _ in tokens_at], [end for _, end in tokens_at]
            for first, last in _parts(extracted, block, start, end):
                for a, b, tokens in _fitting(extracted.text, begins, ends, start, first, last, most):
                    yield Unit(a, b, paragraph, block.kind, block.page, tokens)
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
        found = get_sentence_boundaries(extracted.language or SENTENCE_LANGUAGE, text[start:end])
        bounds = [(start + each["start_index"], start + each["end_index"]) for each in found]
    for first, last in bounds:
        trimmed = _trimmed(text, first, last)
        if trimmed is not None:
            yield trimmed


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


def _at_a_space(text: str, begins: list[int], offset: int, first: int, cut: int) -> int:
    """The last token up to `cut`, in the second half of the piece, before which there is white space; else `cut`."""
    for index in range(cut, (first + cut) // 2, -1):
        if text[offset + begins[index] - 1].isspace():
            return index
    # Bytes of one character may be several tokens; a cut between them would move nothing on.
    while cut < len(begins) - 1 and begins[cut] <= begins[first]:
        cut += 1
    return cut
