"""Word documents: paragraphs by their styles, lists and tables, in order; what was deleted under review stays away."""

import re
from collections.abc import Iterator
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
    builder.entitle(document.core_properties.title)
    _add_body(builder, document)
    for related in part.rels.values():
        if not related.is_external and related.target_part.content_type == FOOTNOTES:
            _add_notes(builder, related.target_part.blob)


def _add_body(builder: Builder, document: Document) -> None:
    items: list[str] = []
    for content in document.iter_inner_content():
        if isinstance(content, Paragraph) and (level := _list_level(content)) is not None:
            if text := text_of(content._p).strip():
                items.append("  " * level + "- " + text.replace("\n", " "))
            continue
        builder.add("list", "\n".join(items))
        items = []
        if isinstance(content, Table):
            _add_table(builder, content)
        else:
            _add_paragraph(builder, content)
    builder.add("list", "\n".join(items))


def _add_paragraph(builder: Builder, paragraph: Paragraph) -> None:
    text = text_of(paragraph._p)
    name = (paragraph.style.name if paragraph.style else "") or ""
    if name == "Title":
        builder.entitle(text)
        builder.heading(1, text)
    elif level := heading_level(paragraph, name):
        builder.heading(level, text)
    else:
        builder.add("quote" if "quote" in name.lower() else "paragraph", text)
    for box in paragraph._p.iter(_BOX):
        if not any(above.tag == _ALTERNATIVE for above in box.iterancestors()):
            for inner in box.iter(_PARAGRAPH):
                builder.add("paragraph", text_of(inner))


def heading_level(paragraph: Paragraph, style: str) -> int:
    """1 to 6, or 0 for what is no heading: by the style's name, or by the outline level of paragraph or style."""
    if found := _HEADING.match(style):
        return int(found[1])
    properties = [paragraph._p.pPr]
    if paragraph.style is not None:
        properties.append(paragraph.style.element.pPr)
    for each in properties:
        outline = each.find(qn("w:outlineLvl")) if each is not None else None
        if outline is not None and (value := outline.get(qn("w:val"), "9")).isdigit() and int(value) < 9:
            return min(int(value) + 1, 6)
    return 0


def _list_level(paragraph: Paragraph) -> int | None:
    """How deep an item is nested; None for what is no item."""
    style = paragraph.style
    name = (style.name if style is not None else "") or ""
    if _HEADING.match(name):
        return None
    properties = paragraph._p.pPr
    numbering: Any = properties.numPr if properties is not None else None
    if numbering is not None and numbering.numId is not None and numbering.numId.val:
        return min(numbering.ilvl.val if numbering.ilvl is not None else 0, 8)
    return 0 if name.startswith("List") else None


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
