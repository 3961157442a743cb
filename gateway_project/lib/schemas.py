"""What the payloads of the APIs share: strictness, amounts of money, and one reading of them for forms and JSON."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from gateway_project.lib.errors import InvalidRequest

S = TypeVar("S", bound=Schema)


class Strict(Schema):
    """Refuses fields that it does not know, by name."""

    model_config = ConfigDict(extra="forbid")


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be an amount such as '12.50'.")
    return value


# US dollars: 12 digits before the point and 12 behind it.
Usd = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, max_digits=24, decimal_places=12, examples=["12.50"])]


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
        field = ".".join(str(part) for part in first["loc"]) or None
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{field}: {message}" if field else message, param=field) from None
