"""RTF: its text; formatting is dropped."""

import re

from striprtf.striprtf import rtf_to_text

from rag.extract.builder import Builder
from rag.extract.errors import ExtractError
from rag.extract.source import Source

_TITLE = re.compile(r"\{\\title\s+([^{}\\]+)\}")


def parse(source: Source, builder: Builder) -> None:
    # RTF is ASCII: everything else is escaped.
    content = source.file.read().decode("latin-1")
    if len(content) > 4 * builder.limits.characters:
        raise ExtractError("too_large", "The file is too large to be read as RTF. Save it as .docx.")
    if title := _TITLE.search(content[:20_000]):
        builder.entitle(title[1])
    text: str = rtf_to_text(content, errors="replace")  # type: ignore[no-untyped-call]
    for paragraph in text.split("\n"):
        cells = [cell.strip() for cell in paragraph.split("|") if cell.strip()]
        table = paragraph.rstrip().endswith("|") and len(cells) > 1
        builder.add("table" if table else "paragraph", " | ".join(cells) if table else paragraph)
