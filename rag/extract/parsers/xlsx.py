"""Spreadsheets: a section per sheet, a table per run of rows, with the values that were last computed."""

import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from typing import Any

# Optional to openpyxl, and half of the time that it takes to import; nothing here needs either.
for unneeded in ("numpy", "PIL"):
    sys.modules.setdefault(unneeded, None)  # type: ignore[arg-type]

from openpyxl import load_workbook  # noqa: E402

from rag.extract.builder import Builder, stem  # noqa: E402
from rag.extract.parsers import office  # noqa: E402
from rag.extract.source import Source  # noqa: E402
from rag.extract.tables import add_table  # noqa: E402

# Rows that are looked at in one sheet, and columns: formatted but empty cells go on for ever.
MOST_ROWS = 500_000
MOST_COLUMNS = 1_000
# More than this many empty rows in a row, and the rest of the sheet is taken for empty.
MOST_EMPTY = 20_000


def parse(source: Source, builder: Builder) -> None:
    office.check(source, builder)
    book = load_workbook(source.file, read_only=True, data_only=True, keep_links=False)
    # A sheet's name, unlike a heading, does not say what the file is about: nobody renames "Sheet1".
    builder.entitle(book.properties.title, stem(source.name))
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            builder.note(f"The hidden sheet {sheet.title} was left out.")
            continue
        builder.heading(1, sheet.title)
        sheet.reset_dimensions()
        rows = _read(sheet.iter_rows(values_only=True), builder, sheet.title)
        for table in _runs(rows):
            add_table(builder, table)


def _read(rows: Iterable[tuple[Any, ...]], builder: Builder, title: str) -> Iterator[list[str]]:
    """A sheet's rows as text, [] for an empty one."""
    empty = 0
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS or empty > MOST_EMPTY:
            builder.note(f"The sheet {title} was read up to row {number - 1:,}.")
            return
        if len(row) > MOST_COLUMNS:
            builder.note(f"The sheet {title} was read up to column {MOST_COLUMNS:,}.")
        cells = [shown(value) for value in row[:MOST_COLUMNS]]
        filled = any(cells)
        empty = 0 if filled else empty + 1
        yield cells if filled else []


def _runs(rows: Iterator[list[str]]) -> Iterator[Iterator[list[str]]]:
    """Rows between empty ones, as they come: a sheet of a million rows is never held."""
    for first in rows:
        if first:
            yield _run(first, rows)


def _run(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    for row in rows:
        if not row:
            return
        yield row


def shown(value: object) -> str:
    """A cell's value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds") if value.time() != time() else value.date().isoformat()
    return value.isoformat() if isinstance(value, date | time) else str(value)
