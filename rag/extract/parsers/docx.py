"""Word documents: paragraphs by their styles, lists and tables, in order; what was deleted under review stays away."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docx.document import Document
from docx.opc.part import PartFactory
from docx.oxml.ns import qn
from docx.package import Package
from docx.parts.document import DocumentPart
from docx.table import Table
from docx.text.paragraph import Paragraph

from rag.extract.builder import Builder
from rag.extract.errors import ExtractError
from rag.extract.parsers import office
from rag.extract.source import Source
from rag.extract.tables import add_table

# Documents with macros and templates are documents, too.
for content_type in (
    "application/vnd.ms-word.document.macroEnabled.main+xml",
    "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
):
    PartFactory.part_type_for[content_type] = DocumentPart

FOOTNOTES = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
# The ninth says that it is body text.
_LEVELS = frozenset("012345678")
_HEADING = re.compile(r"heading\s*(\d)", re.I)
_TEXT, _TAB, _DELETED = qn("w:t"), qn("w:tab"), qn("w:del")
_BREAKS = {qn("w:br"), qn("w:cr")}
_MOVED = qn("w:moveFrom")
_BOX = qn("w:txbxContent")
_PROPERTIES = qn("w:pPr")
_ALTERNATIVE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_PARAGRAPH = qn("w:p")


def parse(source: Source, builder: Builder) -> None:
    office.check(source, builder)
    package = Package.open(source.file)
    part = package.main_document_part
    if not isinstance(part, DocumentPart):
        raise ExtractError("broken", "The file has no document in it.", str(part.content_type)[:100])
    document = part.document
    # What python-docx says of a file without properties, as Google's editor exports them.
    title = document.core_properties.title
    builder.entitle(title if title != "Word Document" else "")
    _add_body(builder, document)
    for related in part.rels.values():
        if not related.is_external and related.target_part.content_type == FOOTNOTES:
            _add_notes(builder, related.target_part.blob)


@dataclass(frozen=True, slots=True)
class Style:
    """What is asked of a paragraph's style: its name in English, and its own outline level (0 to 8) or None."""

    name: str = ""
    outline: int | None = None


class Styles:
    """Styles by id, read once: python-docx searches all of them for each paragraph."""

    def __init__(self, document: Document) -> None:
        self._styles: dict[str | None, Style] = {}
        elements: dict[str, Any] = {each.styleId: each for each in document.styles.element.style_lst}
        for style_id, element in elements.items():
            name, outline, based, seen = element.name_val or "", None, element, set[str]()
            # What a style does not say, the one that it is based on does.
            while based is not None and based.styleId not in seen:
                seen.add(based.styleId)
                outline = outline_of(based.pPr) if outline is None else outline
                if _HEADING.match(based.name_val or ""):
                    name = based.name_val
                based = elements.get(based.basedOn.val) if based.basedOn is not None else None
            self._styles[style_id] = Style(name, outline)

    def of(self, paragraph: Paragraph) -> Style:
        """The style of a paragraph."""
        return self._styles.get(paragraph._p.style, Style())


def outline_of(properties: Any) -> int | None:
    """The outline level that a paragraph's or style's properties set."""
    found = properties.find(qn("w:outlineLvl")) if properties is not None else None
    value = found.get(qn("w:val"), "") if found is not None else ""
    return int(value) if value in _LEVELS else None


def _add_body(builder: Builder, document: Document) -> None:
    styles = Styles(document)
    items: list[str] = []
    for content in document.iter_inner_content():
        if isinstance(content, Paragraph) and (level := _list_level(content, styles.of(content))) is not None:
            if text := text_of(content._p).strip():
                items.append("  " * level + "- " + text.replace("\n", " "))
            continue
        builder.add("list", "\n".join(items))
        items = []
        if isinstance(content, Table):
            _add_table(builder, content)
        else:
            _add_paragraph(builder, content, styles.of(content))
    builder.add("list", "\n".join(items))


def _add_paragraph(builder: Builder, paragraph: Paragraph, style: Style) -> None:
    text = text_of(paragraph._p)
    if style.name == "Title":
        builder.entitle(text)
        builder.heading(1, text)
    elif level := heading_level(paragraph, style):
        builder.heading(level, text)
    else:
        builder.add("quote" if "quote" in style.name.lower() else "paragraph", text)
    for box in paragraph._p.iter(_BOX):
        if not any(above.tag == _ALTERNATIVE for above in box.iterancestors()):
            for inner in box.iter(_PARAGRAPH):
                builder.add("paragraph", text_of(inner))


def heading_level(paragraph: Paragraph, style: Style) -> int:
    """1 to 6, or 0 for what is no heading: by the style's name, or by the outline level of paragraph or style."""
    if found := _HEADING.match(style.name):
        return int(found[1])
    own = outline_of(paragraph._p.pPr)
    level = own if own is not None else style.outline
    return min(level + 1, 6) if level is not None else 0


def _list_level(paragraph: Paragraph, style: Style) -> int | None:
    """How deep an item is nested; None for what is no item."""
    if heading_level(paragraph, style):
        return None
    properties = paragraph._p.pPr
    numbering: Any = properties.numPr if properties is not None else None
    if numbering is not None and numbering.numId is not None and numbering.numId.val:
        return min(numbering.ilvl.val if numbering.ilvl is not None else 0, 8)
    return 0 if style.name.startswith("List") else None


def _add_table(builder: Builder, table: Table) -> None:
    def rows() -> Iterator[list[str]]:
        for row in table._tbl.iter(qn("w:tr")):
            if row.getparent() is table._tbl:
                yield [text_of(cell) for cell in row.iterchildren(qn("w:tc"))]

    first = table._tbl.find(qn("w:tr"))
    marked = first is not None and next(first.iter(qn("w:tblHeader")), None) is not None
    add_table(builder, rows(), header=marked or None)


def text_of(element: Any) -> str:
    """The text in a paragraph or cell: with links and insertions, without deletions, text boxes and alternatives."""
    said: list[str] = []
    stack = [iter(element)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            continue
        tag = child.tag
        if tag == _TEXT:
            said.append(child.text or "")
        elif tag == _TAB:
            said.append("\t")
        elif tag in _BREAKS:
            said.append("\n")
        elif tag not in {_DELETED, _MOVED, _BOX, _ALTERNATIVE, _PROPERTIES}:
            if tag == _PARAGRAPH and said:
                said.append("\n")
            stack.append(iter(child))
    return "".join(said)


def _add_notes(builder: Builder, xml: bytes) -> None:
    from docx.oxml.parser import parse_xml

    for note in parse_xml(xml).iterchildren(qn("w:footnote")):
        if note.get(qn("w:type")) not in {"separator", "continuationSeparator"}:
            builder.add("paragraph", text_of(note))
