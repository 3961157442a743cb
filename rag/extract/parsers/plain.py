"""Plain text: kept as it is; blank lines part paragraphs, and a few ways of writing headings are known."""

import re

from rag.extract.builder import Builder
from rag.extract.decode import decoded
from rag.extract.source import Source

# `= Title =`, `= = Section = =`: MediaWiki, with or without spaces between.
WIKI_HEADING = re.compile(r"[ \t]*((?:= ?){1,6}) ?([^=\n]+?) ?((?:= ?){1,6})[ \t]*")
_NUMBERED = re.compile(
    r"(?:(?:chapter|part|section|appendix|article|kapitel|teil|chapitre|§)\s+)?[\dIVXLC]+(\.\d+)*[.):]?\s+\S", re.I
)
_NAMED = re.compile(r"(?:chapter|part|section|appendix|kapitel|teil|chapitre)\b", re.I)
_BULLET = re.compile(r"[ \t]*(?:[-*+•‣▪\u2013]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t]+\S")
_UNDERLINE = re.compile(r"[ \t]*(=+|-+|~+)[ \t]*")
_SENTENCE_END = (".", "!", "?", ",", ";", "\u3002", "\uff01", "\uff1f")
LONGEST_HEADING = 100


def parse(source: Source, builder: Builder) -> None:
    text, notes = decoded(source.text_bytes(builder.limits.characters), source.charset)
    builder.keep(text)
    for note in notes:
        builder.note(note)
    mark_paragraphs(builder, text, 0, len(text))


def mark_paragraphs(builder: Builder, text: str, start: int, end: int) -> None:
    """Name the blocks of `text[start:end]`."""
    lines: list[tuple[int, int]] = []
    at = start
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        line = text[at:stop]
        if wiki := wiki_heading(line):
            _mark(builder, text, lines)
            builder.mark("heading", *_trimmed(text, at, stop), level=wiki[0], title=wiki[1])
            lines = []
        elif line.strip():
            lines.append((at, stop))
        else:
            _mark(builder, text, lines)
            lines = []
        at = stop + 1
    _mark(builder, text, lines)


def wiki_heading(line: str) -> tuple[int, str] | None:
    """Level and title of a MediaWiki heading."""
    if "=" not in line[:8]:
        return None
    found = WIKI_HEADING.fullmatch(line)
    if not found or found[1].count("=") != found[3].count("="):
        return None
    return found[1].count("="), found[2]


def _mark(builder: Builder, text: str, lines: list[tuple[int, int]]) -> None:
    if not lines:
        return
    start, end = _trimmed(text, lines[0][0], lines[-1][1])
    first = text[lines[0][0] : lines[0][1]].strip()
    if len(lines) == 2 and len(first) <= LONGEST_HEADING:
        under = _UNDERLINE.fullmatch(text, *lines[1])
        if under and len(under[1]) >= 3:
            builder.mark("heading", start, end, level=1 if under[1][0] == "=" else 2, title=first)
            return
    if len(lines) == 1 and (level := _heading_level(first)):
        builder.mark("heading", start, end, level=level, title=first)
        return
    bullets = sum(_BULLET.match(text, *line) is not None for line in lines)
    builder.mark("list" if bullets * 2 >= len(lines) and bullets > 1 else "paragraph", start, end)


def _heading_level(line: str) -> int:
    """1 to 3 for a line that stands alone and looks like a heading, else 0."""
    if len(line) > LONGEST_HEADING or line.endswith(_SENTENCE_END) or not any(map(str.isalpha, line)):
        return 0
    if _NAMED.match(line):
        return 1
    if (found := _NUMBERED.match(line)) and len(line) <= 80:
        return min(3, 1 + (found[0].count(".") - found[0].rstrip().endswith(".")))
    letters = [character for character in line if character.isalpha()]
    return 1 if len(letters) >= 4 and all(map(str.isupper, letters)) else 0


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The same range without blanks around it."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
