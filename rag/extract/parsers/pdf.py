"""PDF by pdfium: text with its layout page by page; pages that are pictures are given to OCR."""

import ctypes
import re
from collections.abc import Iterable

import pypdfium2
import pypdfium2.raw as pdfium

from rag.extract.builder import Builder
from rag.extract.errors import ExtractError
from rag.extract.parsers.image import add_recognised, as_png
from rag.extract.parsers.pdf_layout import Layout, Line, key_of, without_running
from rag.extract.source import Source

# A page with fewer characters, and with something drawn on it, is a picture.
FEW_CHARACTERS = 12
OCR_DPI = 220
POINTS_PER_INCH = 72
DEEPEST_OUTLINE = 6
MOST_OUTLINE = 5_000
# Titles that programs write by themselves.
_NO_TITLE = re.compile(
    r"(?:untitled|document\d*|microsoft \w+ - .*|.*\.(?:docx?|pdf|tex|dvi|indd|qxd|pptx?|xlsx?))\s*", re.I
)


def parse(source: Source, builder: Builder) -> None:
    try:
        document = pypdfium2.PdfDocument(source.file.read())
    except pypdfium2.PdfiumError as error:
        if error.err_code in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
            raise ExtractError("encrypted", "The PDF is protected by a password. Save it without one.") from None
        raise ExtractError("broken", "The PDF is damaged: it cannot be opened.", f"pdfium {error.err_code}") from None
    title = document.get_metadata_value("Title")
    if not _NO_TITLE.fullmatch(title):
        builder.entitle(title)
    pages = _Pages(document, source, builder)
    lines = [pages.read(number) for number in range(len(document))]
    kept = without_running(lines)
    layout = Layout(kept, _outline(document))
    for number, page in enumerate(kept):
        builder.page()
        add_recognised(builder, pages.recognised.get(number, ""))
        for piece in layout.pieces(page):
            if piece.level:
                builder.heading(piece.level, piece.text)
            else:
                builder.add(piece.kind, piece.text)
    _note(builder, pages)


class _Pages:
    """Reads pages one by one, and remembers those that had to be recognised or could not be read."""

    def __init__(self, document: pypdfium2.PdfDocument, source: Source, builder: Builder) -> None:
        self._document, self._source, self._builder = document, source, builder
        self.recognised: dict[int, str] = {}
        self.unread: list[int] = []
        self.damaged: list[int] = []
        self._size = 0

    def read(self, number: int) -> list[Line]:
        """One page's lines, [] for one whose text was recognised, or that is damaged or empty."""
        try:
            page = self._document[number]
            text_page = page.get_textpage()
        except pypdfium2.PdfiumError:
            self.damaged.append(number + 1)
            return []
        try:
            lines = lines_of(text_page)
            if sum(len(line.text.strip()) for line in lines) < FEW_CHARACTERS and pdfium.FPDFPage_CountObjects(page):
                if self._recognise(number, page):
                    lines = []
                elif not lines:
                    self.unread.append(number + 1)
        finally:
            text_page.close()
            page.close()
        self._size += sum(len(line.text) for line in lines)
        if self._size > self._builder.limits.characters:
            raise ExtractError("too_large", f"The PDF holds more than {self._builder.limits.characters:,} characters.")
        return lines

    def _recognise(self, number: int, page: pypdfium2.PdfPage) -> bool:
        """Whether OCR found text on this page."""
        limits = self._builder.limits
        if self._source.read_image is None or len(self.recognised) >= limits.ocr_pages:
            return False
        width, height = page.get_size()
        area = max(1.0, width * height)
        scale = min(OCR_DPI / POINTS_PER_INCH, (limits.ocr_pixels / area) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True)
        text = self._source.read_image(as_png(bitmap.to_pil(), limits.ocr_pixels), number + 1)
        bitmap.close()
        self.recognised[number] = text
        return bool(text.strip())


def lines_of(page: pypdfium2.PdfTextPage) -> list[Line]:
    """The lines of a page with where they stand and how large they are."""
    text = _characters(page)
    lines = []
    at = 0
    for part in text.split("\n"):
        said = part.strip()
        if said:
            first = at + len(part) - len(part.lstrip())
            lines.append(_line(page, said, first, first + len(said) - 1))
        at += len(part) + 1
    return lines


def _characters(page: pypdfium2.PdfTextPage) -> str:
    """The page's characters, as many as pdfium counts, so that an index is one there, too."""
    count = page.count_chars()
    text = page.get_text_range() if count else ""
    if len(text) != count:
        # Characters beyond 16 bits, or such that pdfium leaves out: one by one.
        character = pdfium.FPDFText_GetUnicode
        raw = page.raw
        text = "".join([_printable(character(raw, index)) for index in range(count)])
    return text.replace("\r", " ")


def _printable(code: int) -> str:
    return chr(code) if code and code < 0x110000 else " "


def _line(page: pypdfium2.PdfTextPage, text: str, first: int, last: int) -> Line:
    left, _, _, top = page.get_charbox(first, loose=True)
    _, bottom, right, ceiling = page.get_charbox(last, loose=True)
    size = round(max(ceiling - bottom, 1.0) * 2) / 2
    return Line(text, left, right, top, bottom, size, _bold(page, (first + last) // 2))


def _bold(page: pypdfium2.PdfTextPage, index: int) -> bool:
    if pdfium.FPDFText_GetFontWeight(page, index) >= 600:
        return True
    name = ctypes.create_string_buffer(100)
    written = pdfium.FPDFText_GetFontInfo(page, index, name, len(name), None)
    return 0 < written <= len(name) and b"bold" in name.raw[:written].lower()


def _outline(document: pypdfium2.PdfDocument) -> dict[str, int]:
    """Levels by what the outline's entries say."""
    levels: dict[str, int] = {}
    try:
        for entry in document.get_toc(max_depth=DEEPEST_OUTLINE):
            levels.setdefault(key_of(entry.get_title()), entry.level + 1)
            if len(levels) >= MOST_OUTLINE:
                break
    except pypdfium2.PdfiumError:
        return {}
    levels.pop("", None)
    return levels


def _note(builder: Builder, pages: _Pages) -> None:
    if pages.damaged:
        builder.note(f"Pages that are damaged were left out: {_ranges(pages.damaged)}.")
    read = [number + 1 for number, text in pages.recognised.items() if text.strip()]
    if read:
        builder.note(f"Pages without text were read by OCR: {_ranges(read)}.")
    if pages.unread:
        nobody = not pages.recognised and builder.limits.ocr_pages
        why = " Install tesseract, or name a model that sees, to read pictures of text." if nobody else ""
        builder.note(f"Pages without text were left out: {_ranges(pages.unread)}.{why}")


def _ranges(numbers: Iterable[int]) -> str:
    """`1-3, 7`"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:20]]
    return ", ".join([*said, "…"] if len(runs) > 20 else said)
