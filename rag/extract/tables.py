"""Tables as lines of text that can be read alone: each cell says which column it is in."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from rag.extract.builder import Builder
from rag.extract.clean import one_line

Row = Sequence[str]
LONGEST_HEADER_CELL = 80
_NUMBER = re.compile(r"[\s\d.,:/%€$£+\-()]*\d[\s\d.,:/%€$£+\-()]*")


def add_table(builder: Builder, rows: Iterable[Row], *, header: bool | None = None) -> None:
    """One table block, a line per row; `header` says whether the first row names the columns, None: look and guess.

    A table of one column is no table; its rows become paragraphs. Rows are read as they come, and no more of them
    than the limit on text allows.
    """
    filled = _filled(rows)
    start = list(itertools.islice(filled, 2))
    if not start:
        return
    names = start[0] if header or (header is None and len(start) == 2 and _names(*start)) else None
    lines: list[str] = []
    size = width = 0
    for row in itertools.chain(start[1:] if names else start, filled):
        lines.append(line_of(row, names))
        width = max(width, len(row))
        size += len(lines[-1])
        if size > builder.limits.characters:
            break
    if not lines:
        builder.add("table", line_of(start[0], None))
    elif width <= 1 and not names:
        for line in lines:
            builder.add("paragraph", line)
    else:
        builder.add("table", "\n".join(lines))


def line_of(row: Row, names: Row | None) -> str:
    """`Name: Ada | Born: 1815`; empty cells are left out."""
    cells = []
    for index, value in enumerate(row):
        name = names[index] if names and index < len(names) else ""
        if value:
            cells.append(f"{name}: {value}" if name and name != value else value)
    return " | ".join(cells)


def _filled(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        cells = [one_line(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells


def _names(first: Row, second: Row) -> bool:
    """Whether `first` names columns: short words, all different, over a row that is no narrower than half of it."""
    said = [cell for cell in first if cell]
    if len(said) < 2 or len(set(said)) < len(said) or len(said) < len(first) * 0.6:
        return False
    if any(len(cell) > LONGEST_HEADER_CELL or _NUMBER.fullmatch(cell) for cell in said):
        return False
    return len([cell for cell in second if cell]) * 2 >= len(said)
