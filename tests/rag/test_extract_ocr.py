"""How tesseract is asked: a stand-in for its binary, in the way of the installed one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.extract import ocr

# More than a pipe holds.
PICTURE = b"x" * 300_000
# Reads its picture only after a second or two, as on a machine that is busy.
SLOW = """#!/bin/sh
[ "$1" = --list-langs ] && { echo 'List of available languages (1):'; echo eng; exit; }
sleep 1.5
echo "$(wc -c) bytes"
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    binary = tmp_path / "tesseract"
    binary.write_text(SLOW)
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ocr.command.cache_clear()
    ocr.languages.cache_clear()
    yield
    ocr.command.cache_clear()
    ocr.languages.cache_clear()


@pytest.mark.usefixtures("slow")
def test_a_picture_is_read_whole_however_late_tesseract_takes_it() -> None:
    ticks: list[None] = []

    text = ocr.Tesseract(10, lambda: ticks.append(None))(PICTURE, 1)

    assert text == "300000 bytes\n"
    assert ticks  # it was asked meanwhile whether to go on
