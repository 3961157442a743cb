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
