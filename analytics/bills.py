"""Reads what a provider says was used: its export as CSV, whose kind is told by its header.

- OpenAI, Usage → Export, "Activity": `start_time_iso`, `model`, `input_tokens`, `input_cached_tokens`, `output_tokens`.
- OpenAI, Usage → Export, "Cost": `start_time_iso`, `line_item` ("gpt-4o-mini-2024-07-18, input"), `amount_value`.
- Anthropic, Console → Usage → Export: `usage_date_utc`, `model_version`, `usage_input_tokens_no_cache`, ….
- Anthropic, Console → Cost → Export: `usage_date_utc`, `model` ("Claude Haiku 4.5"), `token_type`, `cost_usd`.
- Any other: a day, a model, and any of prompt, cached and completion tokens and cost, under their usual names.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import TextIO

# Of a file: what is beyond is refused, rather than read for an hour.
MAX_BYTES = 256 * 1024 * 1024
MAX_GROUPS = 200_000
CENT = Decimal("0.01")

_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|20\d{6})$|-latest$")
_GAPS = re.compile(r"\s+")
_MAX_TOKENS = 10**15
_MAX_USD = Decimal(10) ** 12


class BadBill(Exception):
    """The file cannot be read as a bill. `str()` is one line that names the line and the column."""


@dataclass(slots=True)
class Figures:
    """What was used on a day of a model; None for what the export does not say."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    # What its lines may have lost by rounding: half of the last place that they show, a half cent each at most.
    rounding: Decimal = Decimal(0)


Key = tuple[date, str]


@dataclass(slots=True)
class Bill:
    """An export, summed by day (UTC) and model; a model "" is all of them. `kind` is a provider kind, or ""."""

    kind: str
    figures: dict[Key, Figures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Format:
    """What the columns of one kind of export are called. Token columns are summed."""

    kind: str
    day: tuple[str, ...]
    model: tuple[str, ...]
    prompt: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    completion: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    currency: str = ""
    # An export of token columns has all that it needs when it has these.
    marks: frozenset[str] = frozenset()
    model_of: Callable[[str], str] = str


def same_model(name: str) -> str:
    """One name for what a bill and the ledger may call differently.

    Without its date, with gaps as dashes, in lower case: "Claude Haiku 4.5" is `claude-haiku-4-5-20251001`.
    """
    plain = _GAPS.sub("-", name.strip().lower().removeprefix("models/"))
    if plain.startswith("claude"):
        plain = plain.replace(".", "-")
    return _DATE.sub("", plain)


def _of_line_item(label: str) -> str:
    """The model of "gpt-4o-mini-2024-07-18, cached input"; what names none stays as it is."""
    model, comma, sort = label.rpartition(",")
    return model if comma and sort.strip() in ("input", "cached input", "output") else label


_ANTHROPIC_INPUT = (
    "usage_input_tokens_no_cache", "usage_input_tokens_cache_write", "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h", "usage_input_tokens_cache_read",
)  # fmt: skip
_FORMATS = (
    _Format(
        "openai", ("start_time_iso", "start_time"), ("line_item",), cost=("amount_value",), currency="amount_currency",
        marks=frozenset({"amount_value"}), model_of=_of_line_item,
    ),
    _Format(
        "openai", ("start_time_iso", "start_time"), ("model",), ("input_tokens",), ("input_cached_tokens",),
        ("output_tokens",), marks=frozenset({"num_model_requests", "input_tokens"}),
    ),
    _Format(
        "anthropic", ("usage_date_utc",), ("model_version",), _ANTHROPIC_INPUT, ("usage_input_tokens_cache_read",),
        ("usage_output_tokens",), marks=frozenset({"usage_date_utc", "usage_output_tokens"}),
    ),
    _Format(
        "anthropic", ("usage_date_utc",), ("model",), cost=("cost_usd",),
        marks=frozenset({"usage_date_utc", "token_type", "cost_usd"}),
    ),
)  # fmt: skip
# Of a plain table the first name that there is, of each.
_DAYS = ("day", "date", "usage_date", "start_time_iso", "start_time")
_MODELS = ("model", "model_id", "model_name")
_PROMPT = ("prompt_tokens", "input_tokens", "tokens_in")
_CACHED = ("cached_tokens", "cached_input_tokens", "input_cached_tokens")
_COMPLETION = ("completion_tokens", "output_tokens", "tokens_out")
_COST = ("cost_usd", "cost", "amount_usd", "amount", "usd")


def read_bill(path: Path) -> Bill:
    """The bill in the file at `path`. Raises BadBill."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadBill(f"{path}: is larger than {MAX_BYTES // 1024**2} MB; export fewer days")
        with path.open(encoding="utf-8-sig", newline="") as text:
            return _read(text)
    except OSError as error:
        raise BadBill(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadBill(f"{path}: is not text in UTF-8; export it as CSV") from None


def _read(text: TextIO) -> Bill:
    first = text.readline(100_000)
    # The first line tells with what cells are parted.
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower().replace(" ", "_") for name in next(rows, [])]
        chosen = _format(header)
        bill = Bill(chosen.kind)
        for row in rows:
            if any(cell.strip() for cell in row):
                _add(bill, chosen, _Row(header, row, rows.line_num))
    except csv.Error as error:
        raise BadBill(f"line {rows.line_num}: is no CSV: {error}") from None
    if not bill.figures:
        raise BadBill("line 2: there is no line with a figure below the header")
    return bill


def _format(header: list[str]) -> _Format:
    """Which kind of export has this header. Raises BadBill."""
    columns = set(header)
    repeated = next((name for name in header if name and header.count(name) > 1), None)
    if repeated:
        raise BadBill(f"line 1, column {repeated}: is there twice")
    for known in _FORMATS:
        if known.marks <= columns:
            return _present(known, columns)

    def first(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name in columns)[:1]

    plain = _Format(
        "", first(_DAYS), first(_MODELS), first(_PROMPT), first(_CACHED), first(_COMPLETION), first(_COST),
    )  # fmt: skip
    return _present(plain, columns)


def _present(known: _Format, columns: set[str]) -> _Format:
    """`known` with the columns that there are. Raises BadBill for one that is missing."""

    def of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name in columns)

    chosen = _Format(
        known.kind, of(known.day)[:1], of(known.model)[:1], of(known.prompt), of(known.cached), of(known.completion),
        of(known.cost), known.currency if known.currency in columns else "", known.marks, known.model_of,
    )  # fmt: skip
    if not chosen.day:
        raise BadBill(f"line 1: there is no column of days, such as {(known.day or _DAYS)[0]}")
    if not chosen.model and known.kind != "openai":
        raise BadBill(f"line 1: there is no column of models, such as {(known.model or _MODELS)[0]}")
    if not (chosen.prompt or chosen.completion or chosen.cost):
        raise BadBill(
            f"line 1: there is no column of tokens or costs, such as {_PROMPT[0]}, {_COMPLETION[0]}, {_COST[0]}"
        )
    return chosen


@dataclass(slots=True)
class _Row:
    """A line of the file, by the names of its columns."""

    header: list[str]
    cells: list[str]
    line: int

    def text(self, column: str) -> str:
        at = self.header.index(column)
        return self.cells[at].strip() if at < len(self.cells) else ""

    def wrong(self, column: str, what: str) -> BadBill:
        return BadBill(f"line {self.line}, column {column}: {what}, not {self.text(column)[:40]!r}")

    def day(self, column: str) -> date:
        """Of a date, a time, or seconds since 1970; in UTC."""
        text = self.text(column)
        try:
            if text.isdigit() and len(text) > 8:
                return datetime.fromtimestamp(int(text), UTC).date()
            moment = datetime.fromisoformat(text.replace("/", "-"))
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        except (ValueError, OverflowError, OSError):
            raise self.wrong(column, "must be a day such as 2027-01-31") from None

    def tokens(self, columns: tuple[str, ...]) -> int | None:
        """Their sum; None without any."""
        return sum(map(self._count, columns)) if columns else None

    def _count(self, column: str) -> int:
        number = self._number(column)
        if number != number.to_integral_value() or not 0 <= number < _MAX_TOKENS:
            raise self.wrong(column, "must be a number of tokens")
        return int(number)

    def usd(self, column: str) -> Decimal:
        """May be negative: a credit."""
        amount = self._number(column)
        if abs(amount) >= _MAX_USD:
            raise self.wrong(column, "must be an amount in USD")
        return amount

    def _number(self, column: str) -> Decimal:
        text = self.text(column).replace(",", "").removeprefix("$")
        try:
            number = Decimal(text or 0)
        except InvalidOperation:
            raise self.wrong(column, "must be a number") from None
        if not number.is_finite():
            raise self.wrong(column, "must be a number")
        return number


def _add(bill: Bill, columns: _Format, row: _Row) -> None:
    if len(row.cells) != len(row.header):
        raise BadBill(f"line {row.line}: has {len(row.cells)} cells, the header {len(row.header)}")
    if columns.cost and not any(row.text(name) for name in (*columns.cost, *columns.prompt, *columns.completion)):
        return  # a day on which nothing was charged
    if columns.currency and row.text(columns.currency).lower() not in ("usd", ""):
        raise row.wrong(columns.currency, "must be usd")
    label = columns.model_of(row.text(columns.model[0])) if columns.model else ""
    key = row.day(columns.day[0]), same_model(label)
    figures = bill.figures.setdefault(key, Figures())
    if len(bill.figures) > MAX_GROUPS:
        raise BadBill(f"line {row.line}: there are more than {MAX_GROUPS:,} days and models; export fewer days")
    for name, of in (("prompt", columns.prompt), ("cached", columns.cached), ("completion", columns.completion)):
        count = row.tokens(of)
        if count is not None:
            setattr(figures, f"{name}_tokens", (getattr(figures, f"{name}_tokens") or 0) + count)
    for name in columns.cost:
        amount = row.usd(name)
        figures.cost_usd = (figures.cost_usd or Decimal(0)) + amount
        figures.rounding += min(CENT, Decimal(1).scaleb(int(amount.as_tuple().exponent))) / 2


def days(bill: Bill) -> tuple[date, date]:
    """The first and the last day of a bill."""
    found: Iterator[date] = (day for day, _ in bill.figures)
    ordered = sorted(found)
    return ordered[0], ordered[-1]
