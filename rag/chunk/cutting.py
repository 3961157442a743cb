"""Chunks that follow the text's structure: a chunk is a section's paragraph, or several short ones, or an even part of
a long one, and begins and ends with a sentence."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby

from rag.chunk.piece import Piece, TokenOffsets, embedded_text, fingerprint
from rag.chunk.units import Unit, units
from rag.extract.model import Extracted

# Tokens of a chunk, and those of them that the chunk before it ends with; `make eval-rag` compares.
DEFAULTS = (80, 20)
# A chunk that is filled to this share is not filled on with another paragraph.
FULL_ENOUGH = 0.4
LONGEST_HEADING, LONGEST_HEADER = 300, 1000
# What a header takes at most of a chunk's size, as it is embedded with every one.
HEADER_SHARE = 0.5
SEPARATOR = " > "


def chunk(
    extracted: Extracted,
    *,
    size: int,
    overlap: int,
    count: TokenOffsets,
    title: str,
    contextual_header: bool,
) -> list[Piece]:
    """The passages of a text, in its order.

    `size` and `overlap` are tokens as `count` has them; no passage's content has more than `size`. `title` and the
    headings above it stand in a passage's header where `contextual_header` says so. All of the text but the white
    space between passages is in one; of a text of white space alone there are none.
    """
    parts = list(units(extracted, count, size))
    pieces: list[Piece] = []
    above = _Headings(extracted)
    for start, end, page in _spans(parts, size, min(overlap, size // 2)):
        content = extracted.text[start:end]
        headings = above.at(start)
        header = _header(title, headings, count, int(size * HEADER_SHARE)) if contextual_header else ""
        tokens = len(count(embedded_text(header, content)))
        pieces.append(
            Piece(len(pieces), content, start, end, page, headings, header, tokens, fingerprint(header, content))
        )
    return pieces


def _spans(parts: Sequence[Unit], size: int, overlap: int) -> Iterator[tuple[int, int, int | None]]:
    """`(start, end, page)` of each chunk."""
    for gathered in _gathered(parts, size):
        for first, last in _even(gathered, size, overlap):
            yield gathered[first].start, gathered[last - 1].end, gathered[first].page


def _gathered(parts: Sequence[Unit], size: int) -> Iterator[list[Unit]]:
    """Units that belong together: paragraphs of one section that fit into a chunk, or one that does not.

    A heading goes with what follows it.
    """
    held: list[Unit] = []
    tokens = 0
    for _, group in groupby(parts, key=lambda unit: unit.paragraph):
        paragraph = list(group)
        more = sum(unit.tokens for unit in paragraph)
        headings_only = all(unit.kind == "heading" for unit in held)
        new_section = paragraph[0].kind == "heading"
        if held and not headings_only and (new_section or tokens >= FULL_ENOUGH * size or tokens + more > size):
            yield held
            held, tokens = [], 0
        held += paragraph
        tokens += more
    if held:
        yield held


def _even(parts: Sequence[Unit], size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """`parts` cut into as few chunks as there must be, about as long as each other: `(first, end)` of each.

    A chunk but the first begins with the last units of the one before it, up to `overlap` tokens.
    """
    total = sum(unit.tokens for unit in parts)
    room = size - overlap if total > size else size
    goal = total / max(1, -(-total // room))
    first = 0
    while first < len(parts):
        begin = _repeated(parts, first, overlap)
        tokens = repeated = sum(unit.tokens for unit in parts[begin:first])
        end = first
        while end < len(parts) and (
            end == first or (tokens + parts[end].tokens <= size and tokens - repeated + parts[end].tokens / 2 <= goal)
        ):
            tokens += parts[end].tokens
            end += 1
        while tokens > size and begin < first:
            tokens -= parts[begin].tokens
            begin += 1
        yield begin, end
        first = end


def _repeated(parts: Sequence[Unit], first: int, overlap: int) -> int:
    """Where the units before `first` begin that are up to `overlap` tokens together."""
    begin, tokens = first, 0
    while begin > 0 and tokens + parts[begin - 1].tokens <= overlap:
        begin -= 1
        tokens += parts[begin].tokens
    return begin


class _Headings:
    """The headings above an offset."""

    def __init__(self, extracted: Extracted) -> None:
        self._headings = sorted(extracted.headings, key=lambda heading: heading.offset)
        self._offsets = [heading.offset for heading in self._headings]
        self._paths: list[tuple[str, ...]] = [()]
        open_: list[tuple[int, str]] = []
        for heading in self._headings:
            while open_ and open_[-1][0] >= heading.level:
                open_.pop()
            open_.append((heading.level, heading.title.strip()[:LONGEST_HEADING]))
            self._paths.append(tuple(title for _, title in open_))

    def at(self, offset: int) -> tuple[str, ...]:
        """Titles from the outermost to the nearest; a heading is its own."""
        return self._paths[bisect_right(self._offsets, offset)]


def _header(title: str, headings: tuple[str, ...], count: TokenOffsets, most: int) -> str:
    """The title and the headings, each once; the outermost of the headings go first where it is too long."""
    title = " ".join(title.split())[:LONGEST_HEADING]
    inner = [heading for heading in dict.fromkeys(" ".join(each.split()) for each in headings) if heading != title]
    while True:
        header = SEPARATOR.join(filter(None, [title, *inner]))[:LONGEST_HEADER]
        if not inner or len(count(header)) <= most:
            break
        del inner[0]
    offsets = count(header)
    return header if len(offsets) <= most else header[: offsets[most][0]].rstrip()
