"""Metadata filters: `{"author": {"eq": "Ada"}, "year": {"gte": 2020}, "or": [{…}, {…}], "not": {…}}`.

A field is a key of the document's metadata (`author.name`: the key `name` of the object `author`), or one of the
built-in `document_id`, `title`, `source`, `language`, `created_at` and `page`, which hide a metadata key of the same
name; `metadata.title` is that key. All members of an object must hold. Operators: `eq ne gt gte lt lte in nin exists`;
a bare value means `eq`.

- Every comparison is true or false. A field that is missing fulfils `ne`, `nin`, `exists: false` and `not`, nothing
  else: `ne` is exactly `not eq`, and `nin` is `not in`.
- A value of another type is another value: `"1"` is not `1`, and no text is greater than a number. A list fulfils a
  comparison when one of its elements does. Text is ordered by code points.
- `null` can be compared by `eq`, `ne`, `in`, `nin`; a key whose value is null exists.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal
from uuid import UUID

from gateway_project.lib.errors import InvalidRequest

MAX_DEPTH = 10
MAX_NODES = 100
MAX_VALUES = 500
# Of all its conditions together: each is compared with each value that a document has there.
MAX_VALUES_IN_ALL = 1000
MAX_TEXT = 1000
MAX_FIELD = 200

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists"]
OPERATORS = frozenset({"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists"})
ORDERED = frozenset({"gt", "gte", "lt", "lte"})
_SYMBOLS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

Value = str | int | float | bool | datetime | UUID | None


class FilterError(InvalidRequest):
    """The filter is not one. `param` is the path of what is wrong in it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against a value; `in` has a tuple of them. `metadata`: whether the field is a key of the metadata."""

    field: str
    operator: Literal["eq", "gt", "gte", "lt", "lte", "in", "exists"]
    value: Value | tuple[Value, ...]
    metadata: bool


@dataclass(frozen=True, slots=True)
class Both:
    """All of them hold (`every`), or at least one."""

    parts: tuple["Condition", ...]
    every: bool


@dataclass(frozen=True, slots=True)
class Negated:
    """It does not hold."""

    part: "Condition"


Condition = Comparison | Both | Negated


def parse(given: object, path: str = "filters") -> Condition | None:
    """A filter as the API takes it; None for one that keeps everything. Raises FilterError."""
    if given is None:
        return None
    condition = _Parser().read(given, path, 1)
    return None if condition == Both((), every=True) else condition


# --- reading ------------------------------------------------------------------------------------------


class _Parser:
    """Counts what it reads: a filter is bounded in depth and size."""

    def __init__(self) -> None:
        self.nodes = self.values = 0

    def read(self, given: object, path: str, depth: int) -> Condition:
        if not isinstance(given, dict):
            raise FilterError("A filter is an object of fields and conditions.", param=path)
        if depth > MAX_DEPTH:
            raise FilterError(f"A filter is at most {MAX_DEPTH} levels deep.", param=path)
        parts = [self._member(name, value, f"{path}.{_shown(name)}", depth) for name, value in given.items()]
        return parts[0] if len(parts) == 1 else Both(tuple(parts), every=True)

    def _member(self, name: object, value: object, path: str, depth: int) -> Condition:
        if not isinstance(name, str):
            raise FilterError("A field's name is text.", param=path)
        if name in ("and", "or"):
            if not isinstance(value, list):
                raise FilterError(f"'{name}' takes a list of filters.", param=path)
            self._count(path)
            parts = [self.read(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value)]
            return Both(tuple(parts), every=name == "and")
        if name == "not":
            self._count(path)
            return Negated(self.read(value, path, depth + 1))
        return self._field(name, value, path)

    def _field(self, name: str, value: object, path: str) -> Condition:
        _check_text(name, path, MAX_FIELD)
        if isinstance(value, list):
            raise FilterError("A list of values goes into 'in'.", param=path)
        operators = value if isinstance(value, dict) else {"eq": value}
        if not operators:
            raise FilterError(f"A condition has an operator: {', '.join(sorted(OPERATORS))}.", param=path)
        parts = [self._comparison(name, operator, each, path) for operator, each in operators.items()]
        return parts[0] if len(parts) == 1 else Both(tuple(parts), every=True)

    def _comparison(self, name: str, operator: str, value: object, path: str) -> Condition:
        self._count(path)
        place = f"{path}.{_shown(operator)}" if operator != "eq" else path
        if operator not in OPERATORS:
            raise FilterError(
                f"'{_shown(operator)}' is no operator; there are {', '.join(sorted(OPERATORS))}.", param=place
            )
        value_of = BUILT_IN.get(name, _metadata_value)
        key = name.removeprefix("metadata.")
        metadata = name not in BUILT_IN
        if operator == "exists":
            if not isinstance(value, bool):
                raise FilterError("'exists' takes true or false.", param=place)
            found = Comparison(key, "exists", True, metadata)
            return found if value else Negated(found)
        if operator in ("in", "nin"):
            if not isinstance(value, list):
                raise FilterError(f"'{operator}' takes a list of values.", param=place)
            if len(value) > MAX_VALUES:
                raise FilterError(f"'{operator}' takes at most {MAX_VALUES} values.", param=place)
            self.values += len(value)
            if self.values > MAX_VALUES_IN_ALL:
                raise FilterError(f"A filter has at most {MAX_VALUES_IN_ALL} values.", param=place)
            values = tuple(value_of(each, f"{place}[{index}]") for index, each in enumerate(value))
            among = Comparison(key, "in", values, metadata)
            return among if operator == "in" else Negated(among)
        one = value_of(value, place)
        if operator in ORDERED and (one is None or isinstance(one, bool | UUID)):
            raise FilterError(f"'{operator}' takes a number or a text; this has no order.", param=place)
        if operator == "ne":
            return Negated(Comparison(key, "eq", one, metadata))
        return Comparison(key, operator, one, metadata)  # type: ignore[arg-type]  # of OPERATORS, and no other is left

    def _count(self, path: str) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise FilterError(f"A filter has at most {MAX_NODES} conditions.", param=path)


def _shown(name: object) -> str:
    text = str(name)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _check_text(text: str, path: str, most: int = MAX_TEXT) -> None:
    if len(text) > most:
        raise FilterError(f"This text is longer than {most} characters.", param=path)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterError("This text has a character that no metadata can hold.", param=path)


def _metadata_value(value: object, path: str) -> Value:
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise FilterError("A number is finite.", param=path)
    elif isinstance(value, int) and value.bit_length() > 1024:
        raise FilterError("This number is too large.", param=path)
    elif not (value is None or isinstance(value, bool | int | float)):
        raise FilterError("A value is a text, a number, true, false or null.", param=path)
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise FilterError("This field is compared with text.", param=path)
    _check_text(value, path)
    return value


def _id(value: object, path: str) -> UUID:
    try:
        return UUID(_text(value, path))
    except ValueError:
        raise FilterError("This is no document's id.", param=path) from None


def _page(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**31 - 1:
        raise FilterError("A page is a whole number.", param=path)
    return value


def _moment(value: object, path: str) -> datetime:
    """A date is its beginning, and UTC holds where no offset is told."""
    text = _text(value, path)
    try:
        moment = datetime.fromisoformat(text) if len(text) > 10 else datetime.combine(date.fromisoformat(text), time())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterError("A time is written as 2025-01-31 or 2025-01-31T12:00:00Z.", param=path) from None


BUILT_IN: dict[str, Callable[[object, str], Value]] = {
    "document_id": _id,
    "title": _text,
    "source": _text,
    "language": _text,
    "created_at": _moment,
    "page": _page,
}

# --- SQL ----------------------------------------------------------------------------------------------

# Over a document `d` and, for the page, its chunk `c`. An empty text is a field that is missing.
_COLUMNS = {
    "document_id": "d.id",
    "title": "NULLIF(d.title, '') COLLATE \"C\"",
    "source": "NULLIF(d.source, '') COLLATE \"C\"",
    "language": "NULLIF(d.language, '') COLLATE \"C\"",
    "created_at": "d.created_at",
    "page": "c.page",
}


def sql(condition: Condition) -> tuple[str, list[Any]]:
    """An expression over `rag_document d` and, if `reads_chunks`, `rag_chunk c`, and its parameters.

    It is true where the condition holds; elsewhere it is false or null.
    """
    match condition:
        case Both(parts, every):
            if not parts:
                return ("TRUE" if every else "FALSE"), []
            each = [sql(part) for part in parts]
            joint = " AND " if every else " OR "
            return f"({joint.join(text for text, _ in each)})", [value for _, values in each for value in values]
        case Negated(part):
            text, values = sql(part)
            return f"({text}) IS NOT TRUE", values
        case Comparison(_, "in", (), _):
            return "FALSE", []
        case Comparison(field, operator, value, True):
            return "d.metadata @? %s::jsonpath", [_jsonpath(field, operator, value)]
        case Comparison(field, "exists", _, False):
            return f"{_COLUMNS[field]} IS NOT NULL", []
        case Comparison(field, "in", value, False):
            return f"{_COLUMNS[field]} = ANY(%s)", [list(value)]  # type: ignore[arg-type]  # a tuple, see _comparison
        case Comparison(field, operator, value, False):
            return f"{_COLUMNS[field]} {_SYMBOLS[operator]} %s", [value]
    raise AssertionError(condition)


def _jsonpath(field: str, operator: str, value: object) -> str:
    """A path in lax mode, which looks into lists. JSON's texts and numbers are jsonpath's, too."""
    member = "$" + "".join(f".{json.dumps(key)}" for key in field.split("."))
    if operator == "exists":
        return member
    if operator == "in":
        assert isinstance(value, tuple)  # noqa: S101  (see _comparison)
        tests = " || ".join(f"@ == {json.dumps(each)}" for each in value)
    else:
        tests = f"@ {'==' if operator == 'eq' else _SYMBOLS[operator]} {json.dumps(value)}"
    return f"{member} ? ({tests})"


def reads_chunks(condition: Condition) -> bool:
    """Whether it asks for a page, and so holds for some chunks of a document only."""
    match condition:
        case Both(parts, _):
            return any(reads_chunks(part) for part in parts)
        case Negated(part):
            return reads_chunks(part)
        case Comparison(field, _, _, metadata):
            return field == "page" and not metadata
    raise AssertionError(condition)


def of_documents(condition: Condition) -> Condition:
    """A condition of documents alone that holds for every document with a chunk for which `condition` holds."""
    match condition:
        case Both(parts, True):
            return Both(tuple(of_documents(part) for part in parts), every=True)
        case _ if reads_chunks(condition):
            return Both((), every=True)
    return condition


def is_indexed(condition: Condition) -> bool:
    """Whether an index tells which documents may fulfil it, so that finding them does not read all."""
    match condition:
        case Both(parts, every):
            return any(map(is_indexed, parts)) if every else all(map(is_indexed, parts))
        case Negated():
            return False
        case Comparison(field, operator, _, metadata):
            return operator in ("eq", "in") and (metadata or field == "document_id")
    raise AssertionError(condition)
