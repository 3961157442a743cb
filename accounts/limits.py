"""Limits and budgets as the API takes and shows them: the same for gateway keys, members and workspaces.

All three hold for a request: its key's, those of the member who made the key, and the workspace's. So a member may give
a key any limit and gets no further than their own.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field, StrictInt

from accounts.models import BudgetPeriod, Limited
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.schemas import Strict, Usd, money

DAY = 86_400
MAX_REQUESTS = 1_000_000_000
MAX_WINDOW = 31 * DAY
MAX_TOKENS = 1_000_000_000_000
MAX_STREAMS = 1_000_000


class LimitFields(Strict):
    """The limits that can be set; null takes one away."""

    budget_usd: Usd | None = Field(
        None,
        description="What may be spent in each `budget_period`; requests that might cost more are refused with 402. "
        "0 leaves what costs nothing.",
    )
    budget_period: Literal["day", "week", "month", "total"] | None = Field(
        None, description="Calendar periods in UTC, weeks from Monday. A budget without one is a `total`."
    )
    rate_limit_requests: Annotated[StrictInt, Field(ge=1, le=MAX_REQUESTS)] | None = Field(
        None, description="Requests in any `rate_limit_window`; a key without takes the installation's default."
    )
    rate_limit_window: Annotated[StrictInt, Field(ge=1, le=MAX_WINDOW)] | None = Field(
        None, description="Seconds; null: the installation's default. Holds for requests and tokens."
    )
    rate_limit_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        None, description="Prompt and completion tokens in any `rate_limit_window`."
    )
    rate_limit_streams: Annotated[StrictInt, Field(ge=1, le=MAX_STREAMS)] | None = Field(
        None, description="Streams that run at the same time."
    )


class LimitsOut(Schema):
    budget_usd: str | None
    budget_period: BudgetPeriod | None
    spent_usd: str = Field(
        description="What counts against the budget in the period that runs; without one, all since the last reset."
    )
    rate_limit_requests: int | None
    rate_limit_window: int | None
    rate_limit_tokens: int | None
    rate_limit_streams: int | None


NAMES = tuple(LimitFields.model_fields)


def show_limits(row: Limited) -> dict[str, Any]:
    """The limits of `row` under the API's names."""
    budget: Decimal | None = row.budget_usd
    return {
        "budget_usd": None if budget is None else money(budget),
        "budget_period": row.budget_period or None,
        "rate_limit_requests": row.rate_limit_requests,
        "rate_limit_window": row.rate_limit_window,
        "rate_limit_tokens": row.rate_limit_tokens,
        "rate_limit_streams": row.rate_limit_streams,
    }


def set_limits(row: Limited, fields: LimitFields) -> set[str]:
    """Set the limits that `fields` has on `row`, unsaved; the names of the columns to save.

    What depends on another limit goes with it: a period with its budget, a window with what it limits.
    Raises InvalidRequest that names a period or a window of nothing.
    """
    given = fields.model_fields_set & set(NAMES)
    if not given:
        return set()
    for name in given:
        setattr(row, name, getattr(fields, name))
    if row.budget_usd is None:
        if fields.budget_period:
            raise InvalidRequest("budget_period: is that of a budget; set budget_usd, too.", param="budget_period")
        row.budget_period = ""
    else:
        row.budget_period = row.budget_period or BudgetPeriod.TOTAL
    if row.rate_limit_requests is None and row.rate_limit_tokens is None:
        if fields.rate_limit_window:
            raise InvalidRequest(
                "rate_limit_window: is the window of a limit; set rate_limit_requests or rate_limit_tokens, too.",
                param="rate_limit_window",
            )
        row.rate_limit_window = None
    return given | {"budget_period", "rate_limit_window"}
