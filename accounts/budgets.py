"""Setting back what counts against a budget: the same for gateway keys, members and workspaces."""

from decimal import Decimal

from django.utils import timezone

from accounts import audit
from accounts.access import Caller
from accounts.models import Limited
from accounts.spending import spending_of


def set_back(caller: Caller, action: str, row: Limited, spent: Decimal | None = None) -> set[str]:
    """Let what `row`, which is locked, spends count from zero again, unsaved; the names of the columns to save.

    Recorded as `action`; `spent` is what counted until now where somebody knows better than the ledger's sums. Requests
    that are under way count as they end. After a change of the period, what was set back of the former one counts no
    more in the new one either, if the reset lies in it.
    """
    now, spending = timezone.now(), spending_of([row])[row.pk]
    before = spending.spent_usd if spent is None else spent
    audit.record(caller, action, row, old={"spent_usd": before}, new={"spent_usd": Decimal(0), "reset_at": now})
    row.budget_reset_at, row.budget_reset_usd = now, spending.ledger_usd
    return {"budget_reset_at", "budget_reset_usd"}
