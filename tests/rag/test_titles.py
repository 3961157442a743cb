"""What a document is called, and when its chunks' headers say so."""

from pathlib import Path

import pytest

from rag.extract import extract
from rag.ingest.parsing import title_in_headers
from rag.models import Document


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Leave\n\nSome text.\n\n## How much\n\nThirty days.\n", "Leave"),
        ("Some text.\n\n## How much\n\nThirty days.\n", "How much"),
        ("# Moon\n\nFar.\n\n# Sun\n\nFarther.\n", "facts"),
        ("No heading at all.\n", "facts"),
        ("---\ntitle: Given\n---\n\n# Leave\n\nText.\n", "Given"),
    ],
)
def test_the_one_highest_heading_is_the_title(tmp_path: Path, text: str, title: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert extract(path, name="facts.md").title == title


def test_a_word_document_without_properties_is_called_by_its_heading_or_file(tmp_path: Path) -> None:
    from docx import Document as Word

    path = tmp_path / "file"
    for heading, title in (("Leave", "Leave"), ("", "facts")):
        word = Word()
        if heading:
            word.add_heading(heading, 1)
        word.add_paragraph("Some text.")
        related = word.part.package.rels
        for key in [key for key, each in related.items() if each.reltype.endswith("/core-properties")]:
            del related[key]
        word.save(str(path))
        assert extract(path, name="facts.docx").title == title


def test_a_workbook_of_one_sheet_is_called_by_its_file(tmp_path: Path) -> None:
    from openpyxl import Workbook

    path = tmp_path / "file"
    book = Workbook()
    book.worksheets[0].title = "Sheet1"
    book.worksheets[0].append(["bird", "albatross"])
    book.save(path)
    assert extract(path, name="Budget 2026.xlsx").title == "Budget 2026"
    book.properties.title = "Given"
    book.save(path)
    assert extract(path, name="Budget 2026.xlsx").title == "Given"


@pytest.mark.parametrize(
    ("title", "source", "said"),
    [
        ("chatlogs", "chatlogs.md", ""),
        ("chatlogs.md", "2026/chatlogs.md", ""),
        ("scan 0012", "scan 0012.pdf", ""),
        ("vacation-policy", "vacation-policy.pdf", "vacation-policy"),
        ("Leave", "chatlogs.md", "Leave"),
        ("Notes", "", "Notes"),
    ],
)
def test_a_file_name_of_one_word_is_in_no_header(title: str, source: str, said: str) -> None:
    assert title_in_headers(Document(title=title, source=source)) == said
