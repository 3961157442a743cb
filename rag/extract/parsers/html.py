"""HTML: the page's own content with its headings, lists, tables and code, without navigation, scripts, hidden text."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from lxml import etree
from lxml import html as lxml_html

from rag.extract.builder import Builder
from rag.extract.decode import decoded, marked
from rag.extract.source import Source
from rag.extract.tables import add_table

# lxml ships no types.
Element: TypeAlias = Any

SKIPPED_TAGS = """
script style noscript template svg math iframe object embed nav aside footer form button select textarea input canvas
audio video map dialog menu head
"""
BLOCK_TAGS = """
p div section article main header address figure figcaption details summary dl dt dd fieldset center hr body html
ul ol li blockquote pre table caption thead tbody tfoot tr td th h1 h2 h3 h4 h5 h6
"""
SKIPPED = frozenset(SKIPPED_TAGS.split())
BLOCKS = frozenset(BLOCK_TAGS.split())
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\n\r\f\u200b]+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_CHARSET = re.compile(rb"""<(?:meta\b[^>]*?charset\s*=|\?xml\b[^>]*?encoding\s*=)\s*["']?\s*([\w.:-]+)""", re.I)
# A page's main element is taken for the page when it holds this share of its text.
MAIN_SHARE = 0.25


def parse(source: Source, builder: Builder) -> None:
    content = source.text_bytes(builder.limits.characters)
    text, notes = decoded(content, declared(content) or source.charset)
    for note in notes:
        builder.note(note)
    add_html(builder, text)


def declared(content: bytes) -> str:
    """The encoding that a page names itself, or ""."""
    found = None if marked(content) else _CHARSET.search(content[:4096])
    return found[1].decode("ascii", "replace") if found else ""


def add_html(builder: Builder, text: str) -> None:
    """The content of a page, after what `builder` has."""
    root = tree(text)
    if root is None:
        return
    builder.entitle(*root.xpath("//head/title/text() | //title/text()")[:1])
    Walk(builder).walk(_main(root))


def tree(text: str) -> Element | None:
    """The parsed page; None for one without any element. No network is used, and depth is bounded by libxml2."""
    parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        return lxml_html.document_fromstring(text.encode(), parser=parser)
    except etree.ParserError:
        return None


def _main(root: Element) -> Element:
    """The element with the page's own content: `main` or the only `article`, when it holds a fair share."""
    body = root.find("body")
    if body is None:
        return root
    mains = root.xpath("//main | //*[@role='main']") or root.xpath("//article")
    if len(mains) == 1 and len(mains[0].text_content()) > MAIN_SHARE * len(body.text_content()):
        return mains[0]
    return body


class Walk:
    """Goes through elements in order and writes blocks; without recursion, since depth is up to the page."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._line: list[str] = []
        self._quotes = self._pre = 0
        # Per open list: the next number, or 0 for bullets; and the lines of the outermost.
        self._lists: list[int] = []
        self._items: list[str] = []
        self._marker = ""
        # Rows of the open table; tables inside it are part of their cell.
        self._tables = 0
        self._rows: list[list[str]] = []
        self._named = False

    def walk(self, root: Element) -> None:
        """Everything below `root`."""
        events = etree.iterwalk(root, events=("start", "end"))
        for event, element in events:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if element is not root and (tag in SKIPPED or _hidden(element)):
                    events.skip_subtree()
                    continue
                self._open(tag, element)
                self._say(element.text)
            else:
                if element is root or not (tag in SKIPPED or _hidden(element)):
                    self._close(tag)
                if element is not root:
                    self._say(element.tail)
        self._flush()

    def _say(self, text: str | None) -> None:
        if text:
            self._line.append(text if self._pre else _SPACE.sub(" ", text))

    def _open(self, tag: str, element: Element) -> None:
        if tag == "br":
            self._line.append("\n")
        elif self._tables:
            self._open_in_table(tag)
        elif tag in BLOCKS:
            self._flush()
            if tag == "table" and not _layout(element):
                self._tables, self._rows, self._named = 1, [], False
            elif tag == "pre":
                self._pre += 1
            elif tag == "blockquote":
                self._quotes += 1
            elif tag in {"ul", "ol"}:
                self._lists.append(int(tag == "ol"))
            elif tag == "li":
                self._begin_item()

    def _begin_item(self) -> None:
        number = self._lists[-1] if self._lists else 0
        self._marker = f"{number}. " if number else "- "
        if number:
            self._lists[-1] += 1

    def _open_in_table(self, tag: str) -> None:
        if tag == "table":
            self._tables += 1
        elif self._tables == 1 and tag == "tr":
            self._rows.append([])
            self._line = []
        elif self._tables == 1 and tag in {"td", "th"}:
            self._named |= tag == "th" and len(self._rows) <= 1
            self._line = []
        elif tag in BLOCKS:
            self._line.append(" ")

    def _close(self, tag: str) -> None:
        if self._tables:
            self._close_in_table(tag)
        elif tag in HEADINGS:
            self._flush(lambda text: self._builder.heading(HEADINGS[tag], text))
        elif tag in BLOCKS:
            self._flush()
            if tag == "pre":
                self._pre = max(0, self._pre - 1)
            elif tag == "blockquote":
                self._quotes = max(0, self._quotes - 1)
            elif tag in {"ul", "ol"} and self._lists:
                self._lists.pop()
                if not self._lists:
                    self._builder.add("list", "\n".join(self._items))
                    self._items = []

    def _close_in_table(self, tag: str) -> None:
        if tag == "table":
            self._tables -= 1
            if not self._tables:
                self._line = []
                add_table(self._builder, self._rows, header=self._named or None)
        elif self._tables == 1 and tag in {"td", "th"} and self._rows:
            self._rows[-1].append("".join(self._line))
            self._line = []
        elif tag == "caption" and self._tables == 1:
            self._builder.add("paragraph", "".join(self._line))
            self._line = []
        elif tag in BLOCKS:
            self._line.append(" ")

    def _flush(self, take: Callable[[str], None] | None = None) -> None:
        """What was said since the last block is one."""
        text = "".join(self._line)
        self._line = []
        if not text.strip():
            return
        if self._pre:
            self._builder.add("code", text)
            return
        text = "\n".join(line.strip() for line in text.split("\n")).strip()
        if take:
            take(text)
        elif self._lists:
            indent = "  " * (len(self._lists) - 1)
            self._items.append(indent + (self._marker or "  ") + text.replace("\n", " "))
            self._marker = ""
        else:
            self._builder.add("quote" if self._quotes else "paragraph", text)


def _hidden(element: Element) -> bool:
    """What a reader of the page would not see is not its text."""
    attributes = element.attrib
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or _HIDDEN.search(attributes.get("style", "")) is not None
    )


def _layout(table: Element) -> bool:
    """A table that only places things: it has no header, and holds other tables or headings."""
    return not table.xpath("boolean(.//th)") and bool(table.xpath("boolean(.//table | .//h1 | .//h2 | .//h3)"))
