"""What tests of extraction share: `read` bytes as if they had been uploaded, and what holds for every result."""

import unicodedata
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from rag.extract import Extracted, ExtractError, Limits, extract
from rag.extract.ocr import OcrFunction


def read(
    content: bytes,
    name: str,
    media_type: str = "",
    *,
    limits: Limits | None = None,
    ocr: OcrFunction | None = None,
) -> Extracted:
    """The text of an upload; what is promised of every text is checked."""
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        found = extract(Path(file.name), name=name, media_type=media_type, limits=limits, ocr=ocr)
    check(found)
    return found


def refused(content: bytes, name: str, *, limits: Limits | None = None) -> ExtractError:
    """Why an upload cannot be read."""
    with pytest.raises(ExtractError) as raised:
        read(content, name, limits=limits)
    assert raised.value.message
    return raised.value


def check(found: Extracted) -> None:
    """Clean text; blocks in order that do not overlap and hold everything; headings and pages where text is."""
    assert unicodedata.is_normalized("NFC", found.text)
    assert not [c for c in found.text if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t"]
    at = 0
    for block in found.blocks:
        assert at <= block.start < block.end <= len(found.text)
        assert not any(map(str.isalnum, found.text[at : block.start]))
        at = block.end
    assert not any(map(str.isalnum, found.text[at:]))
    starts = {block.start for block in found.blocks if block.kind == "heading"}
    assert {heading.offset for heading in found.headings} == starts
    assert found.pages == sorted(found.pages)
    for block in found.blocks:
        assert (block.page is None) == (not found.pages)
        if block.page:
            following = [*found.pages[block.page :], len(found.text)][0]
            assert found.pages[block.page - 1] <= block.start <= following


def blocks(found: Extracted) -> list[tuple[str, str]]:
    """Kind and text of each block."""
    return [(block.kind, found.text[block.start : block.end]) for block in found.blocks]
