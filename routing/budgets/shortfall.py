"""What a caller is told whose request does not fit in a budget: which one, how it stands, and when it renews."""

from decimal import Decimal
from typing import Any

from analytics.amounts import as_text
from gateway_project.lib.errors import BudgetExceeded
from routing.budgets.book import Shortfall

_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
_WHOSE = {"key": "gateway key", "user": "member", "workspace": "workspace"}


def usd(pico: int) -> str:
    """Picodollars as the API writes money."""
    return as_text(Decimal(pico).scaleb(-12))


def because(shortfall: Shortfall) -> str:
    """Why a target is passed over, after its name."""
    return f"it may cost ${usd(shortfall.needed)}, which does not fit in {_name(shortfall)}"


def budget_exceeded(shortfall: Shortfall, *, limited: bool) -> BudgetExceeded:
    """The 402. `limited`: the request says how long its answer may be at most."""
    told = figures(shortfall)
    renews = f"It renews at {told['renews_at']}." if told["renews_at"] else "It does not renew."
    hint = "" if limited else " A max_tokens in the request lowers what it may cost."
    return BudgetExceeded(
        f"This request may cost ${told['needed_usd']}, which does not fit in {_name(shortfall)}: of "
        f"${told['limit_usd']}, ${told['spent_usd']} is spent and ${told['reserved_usd']} reserved by requests under "
        f"way. {renews}{hint}",
        details={"budget": told},
    )


def _name(shortfall: Shortfall) -> str:
    scope = shortfall.scope
    return f"the {_PERIODS[shortfall.span.period]} budget of the {_WHOSE[scope.kind]} '{scope.name}'"


def figures(shortfall: Shortfall) -> dict[str, Any]:
    """How a budget stands that a request does not fit in, as refusals and events tell it. Money is USD in text."""
    return {
        "scope": shortfall.scope.kind,
        "name": shortfall.scope.name,
        "period": shortfall.span.period,
        "limit_usd": usd(shortfall.limit),
        "spent_usd": usd(shortfall.spent),
        "reserved_usd": usd(shortfall.held),
        "needed_usd": usd(shortfall.needed),
        "renews_at": shortfall.span.renews_at,
    }
