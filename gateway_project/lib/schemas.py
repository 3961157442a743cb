"""What the payloads of the APIs share: strictness, amounts of money, and one reading of them for forms and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Annotated, Any, TypeVar, get_args

from ninja import Schema
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway_project.lib.errors import InvalidRequest

S = TypeVar("S", bound=Schema)


class Strict(Schema):
    """Refuses fields that it does not know, by name."""

    model_config = ConfigDict(extra="forbid")


_FIGURES = frozenset("0123456789.+-eE")


def _number(value: Any) -> Any:
    # Python also reads "1_000", " 5" and the digits of every script.
    if isinstance(value, bool) or (isinstance(value, str) and not _FIGURES.issuperset(value)):
        raise ValueError("must be an amount such as '12.50'.")
    return value


# US dollars: 12 digits before the point and 12 behind it; "-0" is 0.
Usd = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(ge=0, max_digits=24, decimal_places=12, examples=["12.50"]),
    AfterValidator(abs),
]


def money(usd: Decimal) -> str:
    """US dollars as a decimal string without trailing zeros."""
    text = f"{usd:f}"  # normalize() would round to 28 digits
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse(schema: type[S], data: S | Mapping[str, Any]) -> S:
    """`data` checked against `schema`. Raises `InvalidRequest` that names the first field that is wrong."""
    if isinstance(data, schema):
        return data
    try:
        return schema.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise invalid(first["loc"], worded(schema, first["loc"], first)) from None


# What pydantic's errors say here, by their types; its own words are for programmers.
WORDS = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "dataclass_type"), "must be a JSON object."),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be a whole number."),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false."),
    **dict.fromkeys(("literal_error", "enum"), "must be {expected}."),
    "missing": "is required.",
    "string_type": "must be a text.",
    "string_too_short": "must have at least {min_length} characters.",
    "string_too_long": "may have at most {max_length} characters.",
    "list_type": "must be a list.",
    "too_short": "must have at least {min_length} entries.",
    "too_long": "may have at most {max_length} entries.",
    "greater_than": "must be greater than {gt}.",
    "greater_than_equal": "must be greater than or equal to {ge}.",
    "less_than": "must be less than {lt}.",
    "less_than_equal": "must be less than or equal to {le}.",
}
# Characters of an unknown field's name that a refusal shows.
SHOWN = 100


def invalid(path: Sequence[int | str], message: str) -> InvalidRequest:
    """The refusal of what stands at `path` in a body; the body itself where that is empty.

    Of a field that may be one thing or another pydantic also names its alternatives, which are nobody's business.
    """
    names = takewhile(lambda name: "[" not in name, map(str, path))
    field = ".".join(names)[:SHOWN] or None
    return InvalidRequest(f"{field}: {message}" if field else message, param=field)


def worded(model: type[BaseModel], path: Sequence[int | str], error: Mapping[str, Any]) -> str:
    """What pydantic's `error` about what stands at `path` in a `model` says, in this API's words where they are better.

    An unknown field comes with the ones that there are.
    """
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return f"unknown; the fields are {', '.join(known)}." if known else "unknown."
    given = error.get("ctx", {})
    if given.get("min_length") == 1:
        return "must not be empty."
    message: str = error["msg"]
    return WORDS[error["type"]].format(**given) if error["type"] in WORDS else message.removeprefix("Value error, ")


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The fields of the object at `path` in a `model`; none where they are not known."""
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue  # an item of a list, or the name of an alternative
        inner = next(_models_in(model.model_fields[part].annotation), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
