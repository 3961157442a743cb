"""Presentations: a page per slide, its shapes from top to bottom, its tables and the speaker's notes."""

from collections.abc import Iterable, Iterator
from typing import Any

from pptx.opc.package import PartFactory
from pptx.package import Package
from pptx.parts.presentation import PresentationPart

from rag.extract.builder import Builder
from rag.extract.errors import ExtractError
from rag.extract.parsers import office
from rag.extract.source import Source
from rag.extract.tables import add_table

# Shows, templates and files with macros are presentations, too.
for content_type in (
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml",
    "application/vnd.openxmlformats-officedocument.presentationml.template.main+xml",
    "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
    "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
    "application/vnd.ms-powerpoint.template.macroEnabled.main+xml",
):
    PartFactory.part_type_for[content_type] = PresentationPart

DEEPEST_GROUP = 20


def parse(source: Source, builder: Builder) -> None:
    office.check(source, builder)
    part = Package.open(source.file).main_document_part
    if not isinstance(part, PresentationPart):
        raise ExtractError("broken", "The file has no presentation in it.")
    builder.entitle(part.core_properties.title if part.core_properties.title != "PowerPoint Presentation" else "")
    for slide in part.presentation.slides:
        builder.page()
        title = slide.shapes.title
        if title is not None and title.has_text_frame:
            builder.heading(1, title.text_frame.text)
        for shape in _in_order(slide.shapes):
            if title is None or shape.shape_id != title.shape_id:
                _add_shape(builder, shape)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            builder.add("paragraph", slide.notes_slide.notes_text_frame.text)


def _in_order(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """Shapes as they are read: by rows, then from the left; groups opened."""
    for shape in sorted(shapes, key=lambda each: (each.top or 0, each.left or 0)):
        if hasattr(shape, "shapes"):
            if depth < DEEPEST_GROUP:
                yield from _in_order(shape.shapes, depth + 1)
        else:
            yield shape


def _add_shape(builder: Builder, shape: Any) -> None:
    if getattr(shape, "has_table", False):
        rows = ([cell.text for cell in row.cells] for row in shape.table.rows)
        add_table(builder, rows, header=shape.table.first_row or None)
    elif shape.has_text_frame:
        lines = [("  " * line.level, _text(line)) for line in shape.text_frame.paragraphs if _text(line).strip()]
        if len(lines) > 1 and shape.is_placeholder:
            builder.add("list", "\n".join(f"{indent}- {text}" for indent, text in lines))
        else:
            builder.add("paragraph", "\n".join(text for _, text in lines))


def _text(paragraph: Any) -> str:
    return str(paragraph.text).replace("\v", " ")
