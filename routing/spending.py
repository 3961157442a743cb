"""What has been spent of budgets, read from the ledger's sums by day for the pages that show it."""

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from accounts.models import BudgetPeriod, Limited, Membership, Workspace
from accounts.spending import Spending
from analytics.models import DailyTotal, DailyUsage
from routing.budgets.periods import Span, date_of, day_of, moment, span_of

PERIODS: Final = tuple(BudgetPeriod.values)
NOTHING: Final = Decimal(0)


def spending(rows: Sequence[Limited]) -> dict[UUID, Spending]:
    """What each of `rows` (gateway keys, members, or workspaces) has spent, by its id: one query."""
    today = day_of(time.time())
    spans = {period: span_of(period, today) for period in PERIODS}
    if isinstance(rows[0], Workspace):
        sums = _sums(DailyTotal.objects.filter(workspace_id__in=[row.pk for row in rows]), "workspace_id", spans)
        return {row.pk: _spending(row, sums.get(row.pk, {}), spans) for row in rows}
    if isinstance(rows[0], Membership):
        members = [row for row in rows if isinstance(row, Membership)]
        usage = DailyUsage.objects.filter(workspace=members[0].workspace_id, user_id__in=[m.user_id for m in members])
        sums = _sums(usage, "user_id", spans)
        return {row.pk: _spending(row, sums.get(row.user_id, {}), spans) for row in members}
    sums = _sums(DailyUsage.objects.filter(key_id__in=[row.pk for row in rows]), "key_id", spans)
    return {row.pk: _spending(row, sums.get(row.pk, {}), spans) for row in rows}


def _sums(usage: QuerySet[Any], by: str, spans: dict[str, Span]) -> dict[UUID, dict[str, Decimal | None]]:
    """The sum of each running period, by the column `by`."""
    sums = {f"in_{name}": Sum("cost_usd", filter=Q(day__gte=date_of(span.first))) for name, span in spans.items()}
    return {row[by]: row for row in usage.values(by).annotate(**sums).values(by, *sums)}


def _spending(row: Limited, sums: dict[str, Decimal | None], spans: dict[str, Span]) -> Spending:
    period = row.budget_period or BudgetPeriod.TOTAL
    span, found = spans[period], sums.get(f"in_{period}") or NOTHING
    spent = found
    if row.budget_reset_at is not None and span.holds(day_of(row.budget_reset_at.timestamp())):
        spent -= row.budget_reset_usd
    renews_at = None if span.renews_at is None else moment(span.end)
    return Spending(max(spent, NOTHING), row.budget_usd, period, renews_at, found)
