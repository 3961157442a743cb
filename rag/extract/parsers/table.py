"""CSV and its kin: a table, a line per row."""

import csv
import io
from collections.abc import Iterator

from rag.extract.builder import Builder, stem
from rag.extract.decode import decoded
from rag.extract.source import Source
from rag.extract.tables import add_table

DELIMITERS = ",;\t|"
SAMPLE = 64 * 1024
LONGEST_CELL = 1_000_000


def parse(source: Source, builder: Builder) -> None:
    text, notes = decoded(source.text_bytes(builder.limits.characters), source.charset)
    for note in notes:
        builder.note(note)
    builder.entitle(stem(source.name))
    csv.field_size_limit(LONGEST_CELL)
    add_table(builder, _rows(text, builder, delimiter_of(text[:SAMPLE])))


def _rows(text: str, builder: Builder, delimiter: str) -> Iterator[list[str]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error:
            builder.note(f"A row near line {rows.line_num:,} could not be read.")


def delimiter_of(sample: str) -> str:
    """The delimiter that parts the first lines most evenly: the same count, more than none, in most of them."""
    lines = [line for line in sample.split("\n")[:50] if line.strip()]
    best, score = ",", 0.0
    for delimiter in DELIMITERS:
        counts = [len(row) - 1 for row in csv.reader(lines, delimiter=delimiter) if row]
        usual = max(set(counts), key=counts.count, default=0)
        found = counts.count(usual) / len(counts) * min(usual, 10) if usual else 0.0
        if found > score:
            best, score = delimiter, found
    return best
