"""What one process has reserved, and what is known to have been spent: the double entry behind every budget.

A reservation is opened with nothing, raised before each target is asked, and settled exactly once by what the request
cost. From then on that amount is due: it stays reserved until the request's record has landed in the ledger, and in
that moment becomes spent. A sum of the ledger is read with the number of the last batch in it, so it is known of each
record that lands whether the sum has it already. Nothing here waits, asks anybody, or knows a clock; all of it is for
one thread, the event loop's.

Amounts are held by scope and by the day of the request, as the ledger's sums are: so whatever period a budget has,
today or after a change, what is held counts in the periods whose spending it will come to be.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
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
    # In this period, less what was set back; and what is reserved by requests that are under way.
    spent: int
    held: int

    @property
    def limit(self) -> int:
        return self.scope.budget_pico or 0


class Spent(NamedTuple):
    """The ledger's sum for one period as of a batch, and what has landed here since."""

    batch: int
    amount: int


@dataclass(slots=True)
class Page:
    """One scope's part of the book."""

    workspace: str
    scope: Scope
    held: dict[int, int] = field(default_factory=dict)
    # The part of it that is no bound any more, but what requests cost.
    due: dict[int, int] = field(default_factory=dict)
    spent: dict[Span, Spent] = field(default_factory=dict)
    # The last batch with something that has landed: an older sum would lack it, and it is held no more.
    landed: int = 0

    def know(self, span: Span, batch: int, amount: int) -> bool:
        """Take the ledger's sum as of `batch`, unless something has landed since, or a later one is known."""
        known = self.spent.get(span)
        if batch < self.landed or (known is not None and batch < known.batch):
            return False
        self.spent[span] = Spent(batch, amount)
        return True

    def land(self, day: int, amount: int, batch: int) -> None:
        """What was held until now is spent: it is added to the sums that do not have it yet."""
        for span, known in self.spent.items():
            if known.batch < batch and span.holds(day):
                self.spent[span] = Spent(known.batch, known.amount + amount)
        self.landed = max(self.landed, batch)

    def doubt(self, batch: int) -> None:
        """Something of `batch` may have landed or not: sums that may lack it are to be read anew."""
        for span in [span for span, known in self.spent.items() if known.batch < batch]:
            del self.spent[span]
        self.landed = max(self.landed, batch)


def budget_of(scope: Scope, span: Span) -> int:
    """The limit of a budget in `span` in terms of the ledger's sum, which knows nothing of resets."""
    limit = scope.budget_pico or 0
    if scope.reset_at is not None and span.holds(day_of(scope.reset_at)):
        limit += scope.reset_pico
    return limit


def shortfall(scope: Scope, span: Span, needed: int, spent: int, held: int, due: int) -> Shortfall:
    """A shortfall, where the ledger's sum is `spent`, and so much is held of which `due` is what requests cost."""
    set_back = budget_of(scope, span) - (scope.budget_pico or 0)
    due = min(due, held)
    return Shortfall(scope, span, needed, max(0, spent + due - set_back), held - due)


def _add(amounts: dict[int, int], day: int, more: int) -> None:
    total = amounts.get(day, 0) + more
    if total:
        amounts[day] = total
    else:
        amounts.pop(day, None)


_WHOSE, _AMOUNT = attrgetter("day", "budgets"), attrgetter("amount")


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
            self.page(workspace, scope).scope = scope
        self.reservations[id] = reservation
        return reservation

    def page(self, workspace: str, scope: Scope) -> Page:
        """The page of a scope; a new one when there is none."""
        page = self.pages.get(scope.account)
        if page is None:
            page = self.pages[scope.account] = Page(workspace, scope)
        return page

    def obstacle(self, reservation: Reservation, more: int, outside: Outside = NOBODY) -> Shortfall | Unopened | None:
        """Why `reservation` may not hold `more`: the first of its budgets that has no room. None: it may."""
        day = reservation.day
        for scope in reservation.budgets:
            span = span_of(scope.period, day)
            page = self.pages[scope.account]
            spent = page.spent.get(span)
            if spent is None:
                return Unopened(scope, reservation.workspace, span)
            held = self.held_in(page, span, outside)
            limit = budget_of(scope, span)
            if spent.amount + held + more > limit:
                return shortfall(scope, span, more, spent.amount, held, self.due_in(scope.account, span))
        return None

    def held_in(self, page: Page, span: Span, outside: Outside = NOBODY) -> int:
        """What is held of a scope in a period, by this process and `outside`."""
        held = 0
        for day, amount in page.held.items():
            if span.first <= day < span.end:
                held += amount
        if outside:
            ref = page.scope.account
            held += sum(amount for (other, day), amount in outside.items() if other == ref and span.holds(day))
        return held

    def due_in(self, ref: str, span: Span) -> int:
        """What requests of this process cost in a period that the ledger is not known to have."""
        page = self.pages.get(ref)
        return sum(amount for day, amount in page.due.items() if span.holds(day)) if page is not None else 0

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
        if cost:
            for scope in reservation.budgets:
                _add(self.pages[scope.account].due, reservation.day, cost)
        else:
            del self.reservations[reservation.id]
        return True

    def _change(self, reservation: Reservation, more: int) -> None:
        if not more:
            return
        reservation.amount += more
        day = reservation.day
        for scope in reservation.budgets:
            _add(self.pages[scope.account].held, day, more)

    # --- What the ledger says --------------------------------------------------------------------

    def know(self, ref: str, span: Span, batch: int, amount: int) -> bool:
        """Take the ledger's sum for a period as of `batch`. False when it is older than what is reckoned with."""
        page = self.pages.get(ref)
        return page is not None and page.know(span, batch, amount)

    def land(self, batch: int, ids: Iterable[str]) -> list[Reservation]:
        """The ledger has the records of these requests, since `batch`: what they hold is spent now. Which they were."""
        landed: list[Reservation] = []
        for request in ids:
            reservation = self.reservations.pop(request, None)
            if reservation is None:
                continue
            if reservation.settled:
                landed.append(reservation)
            else:
                self.reservations[request] = reservation
        # What they cost together, by day and by their budgets: the requests of one key have those as one object, and
        # come in runs.
        totals: dict[tuple[int, int], int] = {}
        budgets: dict[int, tuple[Scope, ...]] = {}
        for (day, found), run in itertools.groupby(landed, _WHOSE):
            place = day, id(found)
            budgets[id(found)] = found
            totals[place] = totals.get(place, 0) + sum(map(_AMOUNT, run))
        for (day, whose), amount in totals.items():
            for scope in budgets[whose]:
                page = self.pages[scope.account]
                _add(page.held, day, -amount)
                _add(page.due, day, -amount)
                page.land(day, amount, batch)
        return landed

    def unlanded(self) -> list[Reservation]:
        """Those that are settled, and that the ledger may have by now."""
        return [each for each in self.reservations.values() if each.settled]

    def forget_spent(self) -> None:
        """Whatever was known to be spent is to be read anew."""
        for page in self.pages.values():
            page.spent.clear()

    def prune(self, today: int) -> None:
        """Drop the periods that ended before yesterday, and the pages that say nothing."""
        for page in self.pages.values():
            for span in [span for span in page.spent if span.end < today]:
                del page.spent[span]
        used = {scope.account for reservation in self.reservations.values() for scope in reservation.budgets}
        for ref in [ref for ref, page in self.pages.items() if not page.spent and not page.held and ref not in used]:
            del self.pages[ref]
