"""Lines of a PDF's pages to headings, paragraphs and lists. Pure functions over what `pdf` has read.

A PDF knows no paragraphs: where one ends is seen in the distance between lines, their size, their indentation, and in
lines that end early.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rag.extract.model import BlockKind

# What pdfium puts where a word was broken at a line's end.
HYPHENS = "\x02\ufffe"
_BROKEN = re.compile(rf"(\w*)[{HYPHENS}]\s*(\w*)")
_HYPHENATED = re.compile(r"\w+-\w+")
_ENDS_WITH_HYPHEN = re.compile(r"\w[-\u2010]$")
_BULLET = re.compile(r"(?:[•‣▪●○◦■□➢\u2013\u2217*·-]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)])\s+\S")
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")
_SENTENCE_END = (".", "!", "?", ":", '."', ".\u201d", ".)", "\u3002", "\uff01", "\uff1f", "\u061f", "\u0964")

HEADING_GROWTH = 1.12
LONGEST_HEADING = 200
# A line at a page's edge that stands on this many pages is no text of theirs.
REPEATED = 3
EDGE_LINES = 2


@dataclass(slots=True)
class Line:
    """One line as pdfium reads it: points from the page's left and bottom. A word that was broken continues in it, so
    that `bottom` and `right` may be those of the next line on the page.
    """

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float
    bold: bool


@dataclass(slots=True)
class Piece:
    """A block; `level` is that of a heading, else 0."""

    kind: BlockKind
    text: str
    level: int = 0


def without_running(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """The pages without the headers, footers and page numbers that repeat at their edges."""
    body = body_size(pages)
    edges = [_edges(lines, body) for lines in pages]
    seen = Counter(key for keys in edges for key in set(keys.values()))
    kept = []
    for lines, keys in zip(pages, edges, strict=True):
        rest = [line for at, line in enumerate(lines) if seen.get(keys.get(at, ("", 0)), 0) < REPEATED]
        # Pages that are nearly alike are no headers.
        enough = sum(len(line.text) for line in rest) * 2 >= sum(len(line.text) for line in lines)
        kept.append(rest if enough else lines)
    return kept


def body_size(pages: Sequence[Sequence[Line]]) -> float:
    """The size in which most of the text is set."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def _edges(lines: Sequence[Line], body: float) -> dict[int, tuple[str, int]]:
    """Per line at the top or bottom, but for headings: what it says without numbers, and how high it stands."""
    order = sorted(range(len(lines)), key=lambda at: -lines[at].top)
    outermost = {*order[:EDGE_LINES], *order[-EDGE_LINES:]}
    small = (at for at in outermost if lines[at].size < body * HEADING_GROWTH)
    return {at: (_DIGITS.sub("#", lines[at].text.lower()).strip(), round(lines[at].top / 4)) for at in small}


class Layout:
    """What is usual in this document, against which a line is judged."""

    def __init__(self, pages: Sequence[Sequence[Line]], outline: dict[str, int]) -> None:
        bold: Counter[bool] = Counter()
        for lines in pages:
            for line in lines:
                bold[line.bold] += len(line.text)
        sizes = {line.size for lines in pages for line in lines}
        self.body = body_size(pages)
        self._bold_body = bold[True] > bold[False]
        self._outline = outline
        large = sorted((size for size in sizes if size >= self.body * HEADING_GROWTH), reverse=True)
        self._levels = {
            size: min(level, 6) for level, size in enumerate(_merged(large), 1) for size in _near(size, large)
        }
        self._hyphenated = {
            word.lower()
            for lines in pages
            for line in lines
            if "-" in line.text
            for word in _HYPHENATED.findall(line.text)
        }

    def pieces(self, lines: Sequence[Line]) -> Iterator[Piece]:
        """The blocks of one page, in pdfium's order, which is that of the content."""
        leading = _leading(lines)
        rights: defaultdict[int, float] = defaultdict(float)
        for line in lines:
            rights[round(line.left / 20)] = max(rights[round(line.left / 20)], line.right)
        group: list[Line] = []
        for line in lines:
            if group and self._parts(group, line, leading, rights):
                yield self._piece(group, rights)
                group = []
            group.append(line)
        if group:
            yield self._piece(group, rights)

    def _parts(self, group: Sequence[Line], line: Line, leading: float, rights: dict[int, float]) -> bool:
        """Whether `line` begins something new after `group`."""
        last, first = group[-1], group[0]
        if abs(line.size - last.size) > 0.08 * last.size or line.bold != last.bold:
            return True
        if _BULLET.match(line.text):
            return True
        down = last.bottom - line.bottom
        ended = last.text.endswith(_SENTENCE_END)
        if down < -line.size:
            # Up: the next column, in which a sentence may go on.
            return ended or not line.text[:1].islower()
        if down > 1.35 * max(leading, line.size):
            return True
        if ended and line.left > last.left + line.size and len(group) > 1:
            return True
        right = max(rights[round(last.left / 20)], rights[round(first.left / 20)])
        return ended and last.right < right - 0.2 * (right - last.left)

    def _piece(self, group: Sequence[Line], rights: dict[int, float]) -> Piece:
        text = self._joined(group, rights)
        level = self._level(group, text)
        if level:
            return Piece("heading", text, level)
        return Piece("list" if _BULLET.match(text) else "paragraph", text)

    def _level(self, group: Sequence[Line], text: str) -> int:
        if len(text) > LONGEST_HEADING or len(group) > 3 or not any(map(str.isalpha, text)):
            return 0
        if level := self._outline.get(key_of(text), 0):
            return level
        if level := self._levels.get(group[0].size, 0):
            return level
        bold = all(line.bold for line in group) and not self._bold_body
        if bold and len(group) <= 2 and len(text) <= 120 and not text.endswith((".", ",", ";", ":")):
            return min(len(set(self._levels.values())) + 1, 6)
        return 0

    def _joined(self, group: Sequence[Line], rights: dict[int, float]) -> str:
        """One text: broken words whole, and a line's end kept where the line ends early, as in a table or a poem."""
        text = group[0].text
        for last, line in itertools.pairwise(group):
            if text[-1:] in HYPHENS or (_ENDS_WITH_HYPHEN.search(text[-2:]) and line.text[:1].islower()):
                text = text[:-1] + HYPHENS[0] + line.text
                continue
            right = rights[round(last.left / 20)]
            early = last.right < last.left + 0.7 * (right - last.left)
            text += ("\n" if early else " ") + line.text
        return _BROKEN.sub(self._whole, text) if any(mark in text for mark in HYPHENS) else text

    def _whole(self, found: re.Match[str]) -> str:
        """A broken word as it is written elsewhere; a name keeps its hyphen."""
        left, right = found[1], found[2]
        if not left or not right:
            return f"{left}-{right}" if left or right else ""
        keeps = f"{left}-{right}".lower() in self._hyphenated or right[0].isupper() or right[0].isdigit()
        return f"{left}-{right}" if keeps else left + right


def key_of(text: str) -> str:
    """What is compared of a heading and of an outline's entry."""
    return "".join(character for character in text.lower() if character.isalnum())


def _leading(lines: Sequence[Line]) -> float:
    """The usual distance from one line to the next."""
    steps = [above.bottom - below.bottom for above, below in itertools.pairwise(lines)]
    usual = [step for step, line in zip(steps, lines, strict=False) if 0.5 * line.size < step < 2.5 * line.size]
    return median(usual) if usual else 0.0


def _merged(sizes: Sequence[float]) -> list[float]:
    """Sizes from large to small, without those that are nearly another."""
    kept: list[float] = []
    for size in sizes:
        if not kept or size < kept[-1] * 0.95:
            kept.append(size)
    return kept


def _near(size: float, sizes: Sequence[float]) -> list[float]:
    return [each for each in sizes if size * 0.95 <= each <= size]
