"""What a parser writes into: blocks one after the other, with their offsets, never more than the limit allows."""

from collections.abc import Iterable

from rag.extract.clean import clean, one_line
from rag.extract.errors import ExtractError
from rag.extract.model import Block, BlockKind, Extracted, Heading, Limits

SEPARATOR = "\n\n"
LONGEST_TITLE = 300


class Builder:
    """Collects a document's blocks; parsers that keep a text as it is give it by `keep` and name blocks by offset."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.media_type = ""
        self.title = ""
        self.notes: list[str] = []
        self.size = 0
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._headings: list[Heading] = []
        self._pages: list[int] = []

    def add(self, kind: BlockKind, text: str) -> None:
        """One more block; empty ones are left out."""
        said = clean(text)
        # The first line of code may be indented.
        self._append(kind, said.strip("\n").rstrip() if kind == "code" else said.strip())

    def heading(self, level: int, text: str) -> None:
        """A heading of level 1 (highest) to 6, on one line."""
        title = one_line(text)
        if not title:
            return
        start = self._append("heading", title)
        self._headings.append(Heading(start, max(1, min(level, 6)), title[:LONGEST_TITLE]))

    def page(self) -> None:
        """The next page begins."""
        self._pages.append(self._next())

    def note(self, text: str) -> None:
        """Say once what was left out."""
        note = one_line(text)[:300]
        if note not in self.notes:
            self.notes.append(note)

    def entitle(self, *candidates: object) -> None:
        """Take the first candidate that says something, unless there is a title."""
        for candidate in candidates:
            if not self.title and isinstance(candidate, str):
                self.title = one_line(candidate)[:LONGEST_TITLE]

    def keep(self, text: str) -> None:
        """The whole text, already clean; blocks and headings follow by `mark`."""
        self._bounded(len(text))
        self._parts = [text]
        self.size = len(text)

    def mark(self, kind: BlockKind, start: int, end: int, *, level: int = 0, title: str = "") -> None:
        """Name a block of the text that was kept."""
        if end > start:
            self._blocks.append(Block(kind, start, end))
            if kind == "heading":
                self._headings.append(Heading(start, max(1, min(level, 6)), one_line(title)[:LONGEST_TITLE]))

    @property
    def headings(self) -> Iterable[Heading]:
        return self._headings

    def built(self, name: str) -> Extracted:
        """Everything that was given. Without a title the one high heading is it, or else the file's name.

        Of several equally high ones none is: they are chapters, or articles that one file holds.
        """
        if not self.title:
            highest = min((heading.level for heading in self._headings), default=0)
            high = [heading for heading in self._headings if heading.level == highest]
            if len(high) == 1 and high[0] in self._headings[:5]:
                self.entitle(high[0].title)
            self.entitle(stem(name))
        pages = [min(offset, self.size) for offset in self._pages]
        return Extracted(
            text="".join(self._parts),
            media_type=self.media_type,
            title=self.title,
            pages=pages,
            headings=self._headings,
            blocks=self._blocks,
            notes=self.notes,
        )

    def _append(self, kind: BlockKind, text: str) -> int:
        if not text:
            return self.size
        start = self._next()
        self._bounded(start + len(text))
        if self.size:
            self._parts.append(SEPARATOR)
        self._parts.append(text)
        self.size = start + len(text)
        self._blocks.append(Block(kind, start, self.size, len(self._pages) or None))
        return start

    def _next(self) -> int:
        return self.size + len(SEPARATOR) if self.size else 0

    def _bounded(self, size: int) -> None:
        if size > self.limits.characters:
            raise ExtractError(
                "too_large", f"The file holds more than {self.limits.characters:,} characters of text. Split it."
            )


def stem(name: str) -> str:
    """A file's name for people: without folders and without its ending."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last.rpartition(".")[0] or last
