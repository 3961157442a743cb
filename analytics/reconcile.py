"""A provider's bill beside the ledger, by day and model."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Sum

from accounts.models import Workspace
from analytics.bills import Bill, Figures, Key, same_model
from analytics.models import DailyTotal

MEASURES = ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd")
# Answers from the gateway's own cache were never the provider's.
OWN_ANSWERS = ("hit", "semantic")


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of a day and a model on which the bill and the ledger disagree."""

    day: date
    model: str
    measure: str
    billed: Decimal
    entered: Decimal

    @property
    def amount(self) -> Decimal:
        """What the ledger has more than the bill."""
        return self.entered - self.billed


def entered(
    bill: Bill, first: date, last: date, *, workspace: Workspace | None = None, provider: str = "", kind: str = ""
) -> dict[Key, Figures]:
    """What the ledger has from `first` to `last` (included), by the days and models of `bill`.

    Of one workspace or of all, of the provider of that name or of all of a kind. A model that is asked by several names
    is one, as on the bill; a bill that names no models is compared by day alone.
    """
    rows = DailyTotal.objects.filter(day__range=(first, last)).exclude(cache__in=OWN_ANSWERS).exclude(provider="")
    if workspace is not None:
        rows = rows.filter(workspace=workspace)
    if provider:
        rows = rows.filter(provider=provider)
    elif kind:
        rows = rows.filter(provider_kind=kind)
    by_model = any(model for _, model in bill.figures)
    found: dict[Key, Figures] = defaultdict(lambda: Figures(0, 0, 0, Decimal(0)))
    for day, model, *sums in rows.values_list("day", "model").annotate(*map(Sum, MEASURES)):
        figures = found[day, same_model(model) if by_model else ""]
        for name, amount in zip(MEASURES, sums, strict=True):
            setattr(figures, name, getattr(figures, name) + amount)
    # A refused request has a model and a provider, and used nothing.
    return {key: figures for key, figures in found.items() if any(getattr(figures, name) for name in MEASURES)}


def differences(bill: Bill, ledger: dict[Key, Figures], tolerance: Decimal) -> Iterator[Difference]:
    """Where they disagree by more than `tolerance` (a share of the larger figure), by day and model.

    What the bill lost by rounding is no difference, nor is what it does not speak of.
    """
    spoken = [name for name in MEASURES if any(getattr(line, name) is not None for line in bill.figures.values())]
    nothing = Figures(0, 0, 0, Decimal(0))
    for key in sorted(bill.figures.keys() | ledger.keys()):
        billed, ours = bill.figures.get(key, nothing), ledger.get(key, nothing)
        for name in spoken:
            theirs, own = Decimal(getattr(billed, name) or 0), Decimal(getattr(ours, name))
            slack = tolerance * max(abs(theirs), abs(own)) + (billed.rounding if name == "cost_usd" else 0)
            if abs(own - theirs) > slack:
                yield Difference(*key, name, theirs, own)
