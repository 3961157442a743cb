"""Who reads a document's pages that are pictures of text, as its library is set."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rag.models import OCR_OFF, Document

if TYPE_CHECKING:
    from rag.extract import Limits, OcrFunction

# A document, and what is to be called about once a second while a page is read.
ChooseOcr = Callable[[Document, Callable[[], None]], "OcrFunction | None"]

_choose: list[ChooseOcr] = []


def register_ocr(choose: ChooseOcr) -> None:
    """Have `choose` say who reads a document's pages without text; None: tesseract, where it is installed."""
    _choose[:] = [choose]


def ocr_of(document: Document, tick: Callable[[], None]) -> "tuple[OcrFunction | None, Limits]":
    """Who reads its pages without text, and how much of it may be read."""
    from rag.extract import Limits

    if document.library.ocr == OCR_OFF:
        return None, Limits(ocr_pages=0)
    return (_choose[0](document, tick) if _choose else None), Limits()
