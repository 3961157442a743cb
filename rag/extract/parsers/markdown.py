"""Markdown: the text is kept as it is; a CommonMark parser says which lines are which block."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt

from rag.extract.builder import Builder
from rag.extract.decode import decoded
from rag.extract.model import BlockKind
from rag.extract.parsers.plain import mark_paragraphs, wiki_heading
from rag.extract.source import Source

# A larger one is no written document; its blank lines are structure enough.
LARGEST = 4_000_000
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+)$", re.M)
_KINDS: dict[str, BlockKind] = {
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "blockquote_open": "quote",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
    "html_block": "paragraph",
}
_MARKUP = re.compile(r"!\[([^\]]*)\]\([^)]*\)|\[([^\]]*)\]\([^)]*\)|[*_`~]{1,3}(?=\S)|(?<=\S)[*_`~]{1,3}")


def parse(source: Source, builder: Builder) -> None:
    text, notes = decoded(source.text_bytes(builder.limits.characters), source.charset)
    builder.keep(text)
    for note in notes:
        builder.note(note)
    begin = 0
    if front := _FRONT_MATTER.match(text):
        begin = front.end()
        title = _TITLE.search(front[1])
        builder.entitle(title[1].strip().strip("\"'") if title else "")
        builder.mark("code", 0, len(front[0].rstrip()))
    if len(text) > LARGEST:
        mark_paragraphs(builder, text, begin, len(text))
        return
    _mark(builder, text, begin)


def _mark(builder: Builder, text: str, begin: int) -> None:
    """Name the blocks of the outermost level."""
    starts = [begin]
    while (at := text.find("\n", starts[-1])) >= 0:
        starts.append(at + 1)
    at = begin
    tokens = MarkdownIt("commonmark").enable("table").parse(text[begin:])
    for index, token in enumerate(tokens):
        if token.level or not token.map or token.nesting < 0:
            continue
        start, end = _range(text, starts, token.map)
        _mark_rest(builder, text, at, start)
        at = end
        if token.type == "heading_open":
            builder.mark("heading", start, end, level=int(token.tag[1:]), title=_said(tokens[index + 1].content))
        elif token.type == "paragraph_open":
            _mark_paragraph(builder, text, start, end)
        elif kind := _KINDS.get(token.type):
            builder.mark(kind, start, end)
        else:
            _mark_rest(builder, text, start, end)

    _mark_rest(builder, text, at, len(text))


def _mark_rest(builder: Builder, text: str, start: int, end: int) -> None:
    """What a parser makes nothing of (definitions of links) is text all the same."""
    part = text[start:end]
    if any(map(str.isalnum, part)):
        builder.mark("paragraph", start + len(part) - len(part.lstrip()), start + len(part.rstrip()))


def _mark_paragraph(builder: Builder, text: str, start: int, end: int) -> None:
    """One paragraph, unless MediaWiki's headings stand in it, which are plain lines to Markdown."""
    if any(wiki_heading(line) for line in text[start:end].split("\n")):
        mark_paragraphs(builder, text, start, end)
    else:
        builder.mark("paragraph", start, end)


def _range(text: str, starts: Sequence[int], lines: Sequence[int]) -> tuple[int, int]:
    start = starts[lines[0]]
    end = starts[lines[1]] if lines[1] < len(starts) else len(text)
    return start, start + len(text[start:end].rstrip())


def _said(markup: str) -> str:
    """A heading's words without the marks around them."""
    return _MARKUP.sub(lambda found: found[1] or found[2] or "", markup)
