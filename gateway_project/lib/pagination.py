"""Keyset pagination: a page starts after the last row of the page before, so that its cost does not grow with depth."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from django.core.exceptions import ValidationError
from django.db.models import Field as ModelField
from django.db.models import Model, Q, QuerySet
from ninja import Field, Schema

from gateway_project.lib.errors import InvalidRequest

M = TypeVar("M", bound=Model)
T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 500


class PageQuery(Schema):
    """The query parameters of every list: `def list_keys(request, page: Query[PageQuery])`."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="How many rows at most.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")


class ListOf(Schema, Generic[T]):
    """The answer of every list: `response=ListOf[KeyOut]`."""

    data: list[T]
    next_cursor: str | None = None


@dataclass(frozen=True)
class Page(Generic[M]):
    """Some rows, and where the next ones begin: None after the last."""

    data: list[M]
    next_cursor: str | None

    def shown(self, show: Callable[[M], Any]) -> dict[str, Any]:
        """The list's answer, each row as `show` renders it."""
        return {"data": [show(row) for row in self.data], "next_cursor": self.next_cursor}


def paginate(
    queryset: QuerySet[M],
    *,
    order: tuple[str, ...] = ("-created_at", "-id"),
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[M]:
    """The `limit` rows after `cursor` (None: the first ones). One query.

    `order` names the model's own fields, "-" for descending, none of them null; together they are unique. Rows that
    are added or removed between two pages make no other row come twice or never.
    Raises InvalidRequest naming `limit` or `cursor`.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}.", param="limit")
    rows = list(_behind(queryset, order, cursor)[: limit + 1])
    more = len(rows) > limit
    return Page(rows[:limit], _encode(rows[limit - 1], order) if more else None)


def next_cursor(
    queryset: QuerySet[M], *, order: tuple[str, ...] = ("-created_at", "-id"), limit: int, cursor: str | None = None
) -> str | None:
    """The `next_cursor` of a page of any `limit`, without reading its rows. One query."""
    rows = list(_behind(queryset, order, cursor)[limit - 1 : limit + 1])
    return _encode(rows[0], order) if len(rows) > 1 else None


def _behind(queryset: QuerySet[M], order: tuple[str, ...], cursor: str | None) -> QuerySet[M]:
    """The rows after `cursor`, in order."""
    if cursor:
        queryset = queryset.filter(_after(order, _decode(cursor, queryset.model, order)))
    return queryset.order_by(*order)


def paginate_named(
    rows: Sequence[T], name: Callable[[T], str], *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> tuple[list[T], str | None]:
    """The `limit` rows after `cursor` in the order of their unique names, and where the next ones begin.

    For rows that are in memory. Raises InvalidRequest naming `cursor`.
    """
    after = values_of(cursor, 1)[0] if cursor else ""
    found = sorted((row for row in rows if name(row) > after), key=name)
    return found[:limit], cursor_of([name(found[limit - 1])]) if len(found) > limit else None


def _after(order: tuple[str, ...], values: list[Any]) -> Q:
    """Rows behind `values`: (a > 1) or (a = 1 and b > 2) …, the same as a row comparison when all go one way."""
    (first, *_), behind, same = order, Q(), Q()
    for name, value in zip(order, values, strict=True):
        field = name.lstrip("-")
        behind |= same & Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
        same &= Q(**{field: value})
    # Says the same once more, in the one form that an index can begin its scan with.
    bound = f"{first.lstrip('-')}__{'lte' if first.startswith('-') else 'gte'}"
    return Q(**{bound: values[0]}) & behind


def _encode(row: Model, order: tuple[str, ...]) -> str:
    return cursor_of([str(getattr(row, name.lstrip("-"))) for name in order])


def cursor_of(values: list[str]) -> str:
    """The cursor of a page that begins behind the row with `values`, for lists that `paginate` cannot make."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def wrong_cursor() -> InvalidRequest:
    """What a cursor is refused with that no page ended with."""
    return InvalidRequest("cursor: must be the next_cursor of the page before, unchanged.", param="cursor")


def values_of(cursor: str, count: int) -> list[str]:
    """What `cursor_of` was given: `count` values. Raises InvalidRequest naming `cursor`."""
    try:
        values = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise wrong_cursor() from None
    if not isinstance(values, list) or len(values) != count or not all(isinstance(value, str) for value in values):
        raise wrong_cursor()
    return values


def _decode(cursor: str, model: type[Model], order: tuple[str, ...]) -> list[Any]:
    values = values_of(cursor, len(order))
    return [_typed(model, name.lstrip("-"), value) for name, value in zip(order, values, strict=True)]


def _typed(model: type[Model], name: str, value: str) -> Any:
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    assert isinstance(field, ModelField)  # noqa: S101  (the order is the programmer's, not the client's)
    if "\0" in value:
        raise wrong_cursor()
    try:
        typed = field.to_python(value)
    except ValidationError:
        raise wrong_cursor() from None
    if typed is None:
        raise wrong_cursor()
    return typed
