"""PDF: paragraphs, headings, broken words, running lines, pages that are pictures."""

import io
import shutil

import pytest
from PIL import Image, ImageDraw, ImageFont

from rag.extract import Limits
from tests.rag.extracting import blocks, read, refused
from tests.rag.files import Line, paragraph, pdf

TEXT = "The committee met in May and agreed that the contract should be renewed for another year, if all goes well. "


def page(number: int, word: str) -> list[Line]:
    """A page of a report, with a header, a number, a heading and two paragraphs."""
    first = paragraph(f"{word} {TEXT * 3}", top=660)
    second = paragraph(f"Then {word}. {TEXT * 2}", top=first[-1].top - 26)
    running = [Line("Annual report - draft", 750, 9), Line(f"Page {number}", 40, 9)]
    return [running[0], Line(f"{number}. About {word}", 700, 16, bold=True), *first, *second, running[1]]


def test_a_report() -> None:
    words = ["apples", "pears", "plums", "cherries"]
    found = read(pdf([page(at, word) for at, word in enumerate(words, 1)], title="The report"), "report.pdf")

    assert (found.title, found.language, len(found.pages)) == ("The report", "en", 4)
    assert [heading.title for heading in found.headings] == [f"{at}. About {w}" for at, w in enumerate(words, 1)]
    assert [(block.kind, block.page) for block in found.blocks] == [
        (kind, number) for number in range(1, 5) for kind in ("heading", "paragraph", "paragraph")
    ]
    assert blocks(found)[1] == ("paragraph", f"apples {TEXT * 3}".strip())
    assert "draft" not in found.text
    assert "Page" not in found.text


def test_pages_that_are_alike_are_no_headers() -> None:
    found = read(pdf([[Line(f"This is what page {at} says.")] for at in range(5)]), "a.pdf")
    assert len(found.blocks) == 5


def test_words_that_were_broken_are_whole_again() -> None:
    lines = ["A well-known rule gives infor-", "mation about what is well-", "known, also to Coca-", "Cola drinkers."]
    found = read(pdf([[Line(text, 700 - 14 * at) for at, text in enumerate(lines)]]), "a.pdf")
    assert found.text == "A well-known rule gives information about what is well-known, also to Coca-Cola drinkers."


def test_two_columns_are_read_one_after_the_other() -> None:
    left = paragraph(TEXT * 2, top=700, width=40)
    right = paragraph("Another matter was raised. " * 3, top=700, width=40, left=320)
    found = read(pdf([[*left, *right]]), "a.pdf")
    assert blocks(found) == [
        ("paragraph", (TEXT * 2).strip()),
        ("paragraph", ("Another matter was raised. " * 3).strip()),
    ]


def test_lists_and_short_lines_keep_their_lines() -> None:
    lines = ["- first item", "- second item", "1. third item"]
    drawn = [Line(text, 700 - 14 * at) for at, text in enumerate(lines)]
    found = read(pdf([[*drawn, *paragraph(TEXT * 2, top=600)]]), "a.pdf")
    assert [kind for kind, _ in blocks(found)] == ["list", "list", "list", "paragraph"]


def picture(text: str) -> Image.Image:
    """White paper with a line of large print."""
    paper = Image.new("RGB", (1000, 400), "white")
    ImageDraw.Draw(paper).text((60, 150), text, fill="black", font=ImageFont.load_default(60))
    return paper


def scanned(text: str) -> bytes:
    """A PDF whose only page is a picture."""
    written = io.BytesIO()
    picture(text).save(written, "PDF", resolution=100)
    return written.getvalue()


def test_a_page_without_text_is_read_by_the_function_that_was_handed() -> None:
    seen: list[tuple[bytes, int]] = []

    def vision(png: bytes, number: int) -> str:
        seen.append((png, number))
        return "Read by a model.\n\nAll of it."

    found = read(scanned("Invoice"), "scan.pdf", ocr=vision)
    assert blocks(found) == [("paragraph", "Read by a model."), ("paragraph", "All of it.")]
    assert found.notes == ["Pages without text were read by OCR: 1."]
    ((png, number),) = seen
    assert number == 1
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_what_the_function_raises_is_raised() -> None:
    def away(png: bytes, number: int) -> str:
        raise ConnectionError("no model answers")

    with pytest.raises(ConnectionError):
        read(scanned("Invoice"), "scan.pdf", ocr=away)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_tesseract_reads_pictures_of_text() -> None:
    assert "Invoice number" in read(scanned("Invoice number 4711"), "scan.pdf").text
    written = io.BytesIO()
    picture("Total amount").save(written, "PNG")
    found = read(written.getvalue(), "photo.png")
    assert "Total amount" in found.text
    assert found.media_type == "image/png"


def test_a_scan_that_nobody_can_read_says_so() -> None:
    error = refused(scanned("Invoice"), "scan.pdf", limits=Limits(ocr_pages=0))
    assert error.code == "empty"
    assert "Pages without text were left out: 1." in error.message


def test_pdfs_that_cannot_be_opened() -> None:
    whole = pdf([page(1, "apples")])
    assert refused(b"%PDF-1.4\n" + b"junk" * 100, "a.pdf").code == "broken"
    assert refused(pdf([[]]), "a.pdf").code == "empty"
    # It says wrongly where its objects are, but they are there.
    assert "apples" in read(whole.replace(b"startxref\n", b"startxref\n9"), "a.pdf").text


def test_a_pdf_under_another_name_is_a_pdf() -> None:
    found = read(pdf([paragraph(TEXT)]), "letter.docx")
    assert found.text == TEXT.strip()
    assert found.notes == ["The file's name ends in .docx, its content is application/pdf: it was read as that."]
