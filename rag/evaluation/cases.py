"""Questions with what answers them, as people write them down: a CSV file."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from gateway_project.lib.errors import InvalidRequest
from rag.retrieve import LONGEST

COLUMNS = ("question", "passage", "document")
LARGEST, MOST_ROWS = 2_000_000, 5_000
LONGEST_PASSAGE = 20_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A passage as it stands in a document, or (with no passage) a whole document, by its title or source."""

    passage: str
    document: str
    # Of the file, for messages.
    line: int


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and all that should be found."""

    text: str
    wanted: tuple[Wanted, ...]


def read(content: bytes, *, most: int = MOST_ROWS) -> list[Question]:
    """The questions of a CSV file with the columns `question` and `passage`, `document` or both.

    Rows with the same question are one question with several passages. Raises `InvalidRequest` in words for people,
    with the line that is wrong.
    """
    asked: dict[str, list[Wanted]] = {}
    for number, (question, wanted) in enumerate(_rows(content)):
        if number >= most:
            raise InvalidRequest(f"file: has more than {most:,} rows.", param="file")
        asked.setdefault(question, []).append(wanted)
    if not asked:
        raise InvalidRequest("file: has no questions.", param="file")
    return [Question(text, tuple(wanted)) for text, wanted in asked.items()]


def _rows(content: bytes) -> Iterator[tuple[str, Wanted]]:
    reader = _reader(content)
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or []}
    if "question" not in names or not {"passage", "document"} & names.keys():
        raise InvalidRequest(
            "file: the first line must name the columns: question, and passage, document or both.", param="file"
        )
    try:
        for row in reader:
            question, passage, document = ((row.get(names.get(name, "")) or "").strip() for name in COLUMNS)
            if question or passage or document:
                yield _checked(question, Wanted(passage, document, reader.line_num))
    except csv.Error as error:
        raise InvalidRequest(f"file: line {reader.line_num + 1}: {error}.", param="file") from None


def _reader(content: bytes) -> "csv.DictReader[str]":
    if len(content) > LARGEST:
        raise InvalidRequest(f"file: is larger than {LARGEST:,} bytes.", param="file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"file: is not UTF-8 (byte {error.start:,}); save it as that.", param="file") from None
    if "\0" in text:
        raise InvalidRequest("file: is not a CSV file.", param="file")
    head = text.partition("\n")[0]
    # Spreadsheets of half of Europe write semicolons.
    delimiter = max(",;\t", key=head.count)
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)


def _checked(question: str, wanted: Wanted) -> tuple[str, Wanted]:
    what = None
    if not question:
        what = "has no question"
    elif not wanted.passage and not wanted.document:
        what = "has neither a passage nor a document"
    elif len(question) > LONGEST:
        what = f"has a question of more than {LONGEST:,} characters"
    elif len(wanted.passage) > LONGEST_PASSAGE:
        what = f"has a passage of more than {LONGEST_PASSAGE:,} characters"
    if what:
        raise InvalidRequest(f"file: line {wanted.line} {what}.", param="file")
    return question, wanted
