"""What one process has reserved, and what is known to have been spent: the double entry behind every budget.

A reservation is opened with nothing, raised before each target is asked, and settled exactly once by what the request
cost. From then on that amount is due: it stays reserved until the ledger's sums, which are read with the number of the
last batch in them, hold the request's record. Nothing here waits, asks anybody, or knows a clock; all of it is for one
thread, the event loop's.

Amounts are held by scope and by the day of the request, as the ledger's sums are: so whatever period a budget has,
today or after a change, what is held counts in the periods whose spending it will come to be.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from keys.limits import Scope
from routing.budgets.periods import SECONDS, Span, day_of, span_of

# By scope's ref and day: what other processes hold.
Outside = Mapping[tuple[str, int], int]
NOBODY: Outside = {}


@dataclass(slots=True)
class Reservation:
    """What one request holds. `amount` is an upper bound until it is `settled`, then what it cost."""

    id: str
    workspace: str
    day: int
    budgets: tuple[Scope, ...]
    amount: int = 0
    settled: bool = False
    # The ledger's batch that has its record.
    batch: int | None = None


class Unopened(NamedTuple):
    """It is not known what was spent of a budget."""

    scope: Scope
    workspace: str
    span: Span


class Shortfall(NamedTuple):
    """A budget that `needed` more picodollars do not fit in, as it stands."""

    scope: Scope
    span: Span
    needed: int
    # In this period, less what was set back.
    spent: int
    held: int

    @property
    def limit(self) -> int:
        return self.scope.budget_pico or 0


@dataclass(slots=True)
class Spent:
    """The ledger's sum for one period, as of a batch."""

    batch: int
    amount: int


@dataclass(slots=True)
class Page:
    """One scope's part of the book."""

    workspace: str
    scope: Scope
    held: dict[int, int] = field(default_factory=dict)
    spent: dict[Span, Spent] = field(default_factory=dict)
    # The last batch as of which something was dropped from `held`: an older sum would lack it.
    collected: int = 0


def budget_of(scope: Scope, span: Span) -> int:
    """The limit of a budget in `span` in terms of the ledger's sum, which knows nothing of resets."""
    limit = scope.budget_pico or 0
    if scope.reset_at is not None and span.holds(day_of(scope.reset_at)):
        limit += scope.reset_pico
    return limit


class Book:
    """The reservations of this process, and the pages of the scopes that they are on."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.reservations: dict[str, Reservation] = {}

    # --- Reserving -------------------------------------------------------------------------------

    def open(self, id: str, workspace: str, at: float, budgets: tuple[Scope, ...]) -> Reservation:
        """A reservation of nothing yet, for the request with this id that arrived `at` (Unix seconds)."""
        reservation = Reservation(id, workspace, int(at // SECONDS), budgets)
        for scope in budgets:
            page = self.pages.get(scope.ref)
            if page is None:
                self.pages[scope.ref] = Page(workspace, scope)
            else:
                page.scope = scope
        self.reservations[id] = reservation
        return reservation

    def obstacle(self, reservation: Reservation, more: int, outside: Outside = NOBODY) -> Shortfall | Unopened | None:
        """Why `reservation` may not hold `more`: the first of its budgets that has no room. None: it may."""
        day = reservation.day
        for scope in reservation.budgets:
            span = span_of(scope.period, day)
            page = self.pages[scope.ref]
            spent = page.spent.get(span)
            if spent is None:
                return Unopened(scope, reservation.workspace, span)
            held = self.held_in(page, span, outside)
            limit = budget_of(scope, span)
            if spent.amount + held + more > limit:
                set_back = limit - (scope.budget_pico or 0)
                return Shortfall(scope, span, more, max(0, spent.amount - set_back), held)
        return None

    def held_in(self, page: Page, span: Span, outside: Outside = NOBODY) -> int:
        """What is held of a scope in a period, by this process and `outside`."""
        held = 0
        for day, amount in page.held.items():
            if span.first <= day < span.end:
                held += amount
        if outside:
            ref = page.scope.ref
            held += sum(amount for (other, day), amount in outside.items() if other == ref and span.holds(day))
        return held

    def hold(self, reservation: Reservation, more: int) -> None:
        """Hold `more` for an open reservation; whoever calls this has found no obstacle."""
        if reservation.settled:
            raise ValueError("a settled reservation holds no more")
        self._change(reservation, more)

    def release(self, reservation: Reservation, less: int) -> None:
        """An open reservation holds so much less: a target was not asked, or did not take the request."""
        if not reservation.settled:
            self._change(reservation, -min(less, reservation.amount))

    def settle(self, reservation: Reservation, cost: int) -> bool:
        """From now on it holds what the request cost. A second call does nothing, and returns False."""
        if reservation.settled:
            return False
        reservation.settled = True
        self._change(reservation, cost - reservation.amount)
        if not cost:
            del self.reservations[reservation.id]
        return True

    def _change(self, reservation: Reservation, more: int) -> None:
        if not more:
            return
        reservation.amount += more
        day = reservation.day
        for scope in reservation.budgets:
            held = self.pages[scope.ref].held
            total = held.get(day, 0) + more
            if total:
                held[day] = total
            else:
                held.pop(day, None)

    # --- What the ledger says --------------------------------------------------------------------

    def raise_spent(self, ref: str, span: Span, batch: int, amount: int) -> bool:
        """Take the ledger's sum for a period as of `batch`. False when it is older than what is known, or too old."""
        page = self.pages.get(ref)
        if page is None or batch < page.collected:
            return False
        known = page.spent.get(span)
        if known is not None and known.batch > batch:
            return False
        page.spent[span] = Spent(batch, amount)
        return True

    def landed(self, batch: int, ids: Iterable[str]) -> None:
        """The ledger has the records of these requests as of `batch`. They are held until `collect`."""
        for id in ids:
            reservation = self.reservations.get(id)
            if reservation is not None and reservation.batch is None:
                reservation.batch = batch

    def collectable(self) -> list[Reservation]:
        """Those that the ledger has."""
        return [each for each in self.reservations.values() if each.settled and each.batch is not None]

    def collect(self, reservations: Sequence[Reservation], batch: int) -> None:
        """Drop what landed by `batch`; every known sum of its scopes must have been raised to that batch before."""
        for reservation in reservations:
            if not reservation.settled or reservation.batch is None or reservation.batch > batch:
                continue
            if self.reservations.pop(reservation.id, None) is None:
                continue
            pages = [self.pages[scope.ref] for scope in reservation.budgets]
            for page in pages:
                page.collected = max(page.collected, reservation.batch)
                for span, spent in list(page.spent.items()):
                    if spent.batch < reservation.batch:
                        # Nobody raised it: it is read anew before anything else is reserved.
                        del page.spent[span]
            self._change(reservation, -reservation.amount)

    def forget_spent(self) -> None:
        """Whatever was known to be spent is to be read anew."""
        for page in self.pages.values():
            page.spent.clear()

    def prune(self, today: int) -> None:
        """Drop the periods that ended before yesterday, and the pages that say nothing."""
        for page in self.pages.values():
            for span in [span for span in page.spent if span.end < today]:
                del page.spent[span]
        used = {scope.ref for reservation in self.reservations.values() for scope in reservation.budgets}
        for ref in [ref for ref, page in self.pages.items() if not page.spent and not page.held and ref not in used]:
            del self.pages[ref]
