"""What is made of a file: its text, and where in it the structure lies.

Every offset counts characters of `Extracted.text`, which is NFC and holds no NUL, no surrogate and no control
character but newline and tab.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

BlockKind = Literal["paragraph", "heading", "table", "code", "list", "quote"]
BLOCK_KINDS: frozenset[str] = frozenset(get_args(BlockKind))

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that begins at `offset`; `level` is 1 for the highest and at most 6."""

    offset: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Block:
    """`text[start:end]` is one paragraph, heading, list, quote, piece of code or table.

    A table has a line per row; a row's cells carry their column's name (`Name: Ada | Born: 1815`), so that a part of
    the table can be read alone. `page` counts from 1; None where the format has no pages.
    """

    kind: BlockKind
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document's text and structure.

    `pages[i]` is the offset at which page i + 1 begins, [] for formats without pages (a presentation's slides are
    pages); an empty page begins where the next one does. `language` is ISO 639-1, "" when unsure. `notes` say in
    words what was left out.
    """

    text: str
    media_type: str
    title: str
    language: str = ""
    pages: list[int] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_wire(self) -> dict[str, Any]:
        """Plain lists and dicts, for `from_wire` on the other side of the pipe."""
        plain = {name: getattr(self, name) for name in ("text", "media_type", "title", "language", "pages", "notes")}
        headings = [(heading.offset, heading.level, heading.title) for heading in self.headings]
        blocks = [(block.kind, block.start, block.end, block.page) for block in self.blocks]
        return {**plain, "headings": headings, "blocks": blocks}

    def with_language(self, language: str) -> "Extracted":
        """The same in a known language."""
        return replace(self, language=language)

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Extracted":
        """What `to_wire` gave, checked: a parser that a hostile file has taken over may send anything.

        Raises ValueError, TypeError or KeyError for what `to_wire` does not make.
        """
        text = _text(wire["text"])
        size = len(text)
        headings = [Heading(_within(o, size), _within(lv, 6), _text(t)) for o, lv, t in wire["headings"]]
        blocks = []
        for kind, start, end, page in wire["blocks"]:
            if kind not in BLOCK_KINDS or not (page is None or type(page) is int) or _within(start, size) > end:
                raise ValueError("not a block")
            blocks.append(Block(kind, start, _within(end, size), page))
        return cls(
            text=text,
            media_type=_text(wire["media_type"]),
            title=_text(wire["title"]),
            language=_text(wire["language"])[:10],
            pages=[_within(offset, size) for offset in wire["pages"]],
            headings=headings,
            blocks=blocks,
            notes=[_text(note)[:300] for note in wire["notes"]][:50],
        )


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError("not a text")
    return value


def _within(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("not an offset")
    return value


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may cost. What is over ends with an `ExtractError`, or with a note where a part is enough."""

    # Of the file, and of what comes out of it. 20 million characters are a library shelf: some 10,000 pages.
    file_bytes: int = 256 * MIB
    characters: int = 20_000_000
    # The child's address space, its time on a CPU, and by the clock (what the OCR takes is not counted).
    memory_bytes: int = 1536 * MIB
    cpu_seconds: int = 240
    wall_seconds: int = 480
    # Of a ZIP and of the formats that are one: entries, bytes unpacked, and unpacked bytes per packed byte.
    members: int = 10_000
    unpacked_bytes: int = 1024 * MIB
    ratio: int = 200
    # Pages without text that are read by OCR, the pixels of each, and seconds for each and for all.
    ocr_pages: int = 500
    ocr_pixels: int = 12_000_000
    ocr_page_seconds: int = 60
    ocr_seconds: int = 1800

    def to_wire(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: dict[str, int]) -> "Limits":
        return cls(**{each.name: wire[each.name] for each in fields(cls)})
