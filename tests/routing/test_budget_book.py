"""Any interleaving of reserve, settle, release, expiry, crash and replay keeps spent + reserved within the budget."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from keys.limits import Scope
from routing.budgets.book import Book, Reservation, Shortfall, Spent, Unopened
from routing.budgets.periods import SECONDS, Span, span_of

TODAY = 20_000
LIMIT = 1000
amounts = st.integers(min_value=1, max_value=400)


def budget(kind: Any = "key", limit: int = LIMIT, period: str = "day", **facts: Any) -> Scope:
    return Scope(kind=kind, id=kind, ref=f"{kind}:1", name=kind, budget_pico=limit, period=period, **facts)


@dataclass
class Record:
    """A request that was settled. `batch` is None while it lies in the spool."""

    day: int
    cost: int
    batch: int | None = None


class Budgets(RuleBasedStateMachine):
    """A process that reserves and dies, and the ledger that its spool goes to: the machine knows the truth."""

    open = Bundle("open")
    readings = Bundle("readings")

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.records: dict[str, Record] = {}
        self.batch = 0
        self.count = 0
        self.day = TODAY
        self.budgets = (budget("key"), budget("workspace", 2 * LIMIT, "month"))

    # --- The truth -------------------------------------------------------------------------------

    def spent(self, span: Span, as_of: int | None = None) -> int:
        """What the ledger and the spool hold; with `as_of` the ledger alone up to that batch."""
        return sum(
            record.cost
            for record in self.records.values()
            if span.holds(record.day) and (as_of is None or (record.batch is not None and record.batch <= as_of))
        )

    def reserved(self, span: Span) -> int:
        alive = (each for each in self.book.reservations.values() if not each.settled)
        return sum(each.amount for each in alive if span.holds(each.day))

    def is_alive(self, reservation: Reservation) -> bool:
        """Whether its process is."""
        return self.book.reservations.get(reservation.id) is reservation

    # --- Requests --------------------------------------------------------------------------------

    @rule(target=open)
    def begin(self) -> Reservation:
        self.count += 1
        return self.book.open(f"request-{self.count}", "w", self.day * SECONDS + 5.0, self.budgets)

    @rule(reservation=open, more=amounts)
    def ask(self, reservation: Reservation, more: int) -> None:
        """Before a target is asked, or another one."""
        if not self.is_alive(reservation):
            return
        obstacle = self.book.obstacle(reservation, more)
        if isinstance(obstacle, Unopened):
            self.read_first(reservation)
            obstacle = self.book.obstacle(reservation, more)
        assert not isinstance(obstacle, Unopened)
        if obstacle is None:
            self.book.hold(reservation, more)
            for scope in reservation.budgets:
                span = span_of(scope.period, reservation.day)
                assert self.spent(span) + self.reserved(span) <= (scope.budget_pico or 0)

    def read_first(self, reservation: Reservation) -> None:
        """As the till does: what dead processes left is moved before."""
        for scope in reservation.budgets:
            span = span_of(scope.period, reservation.day)
            if self.book.pages[scope.ref].spent.get(span) is None:
                self.move(orphans=True)
                assert self.book.know(scope.ref, span, self.batch, self.spent(span, self.batch))

    @rule(reservation=open, share=st.floats(min_value=0, max_value=1))
    def give_back(self, reservation: Reservation, share: float) -> None:
        if self.is_alive(reservation):
            self.book.release(reservation, int(reservation.amount * share))

    @rule(reservation=consumes(open), share=st.floats(min_value=0, max_value=1))
    def end(self, reservation: Reservation, share: float) -> None:
        """It is settled by what it cost, which is no more than was reserved; twice, as the second does nothing."""
        if not self.is_alive(reservation):
            return
        cost = int(reservation.amount * share)
        assert self.book.settle(reservation, cost)
        self.records[reservation.id] = Record(reservation.day, cost)
        assert not self.book.settle(reservation, cost + 1)

    # --- The ledger ------------------------------------------------------------------------------

    @rule()
    def move(self, orphans: bool = False) -> None:
        """A batch goes from the spool to the ledger, and its writer tells of it."""
        spooled = [id for id, record in self.records.items() if record.batch is None]
        self.batch += 1
        for id in spooled:
            self.records[id].batch = self.batch
        self.book.land(self.batch, spooled)

    @rule()
    def move_in_silence(self) -> None:
        """Another process moves it, or dies before it tells."""
        self.batch += 1
        for record in self.records.values():
            record.batch = record.batch or self.batch

    @rule()
    def replay(self) -> None:
        """A batch is entered again, and told of again; its records are in the ledger already."""
        self.batch += 1
        self.book.land(self.batch, self.entered())

    def entered(self) -> list[str]:
        return [id for id, record in self.records.items() if record.batch is not None]

    @rule(target=readings)
    def read(self) -> Any:
        """A reading of the sums, and of which records they have; it may be old when it is taken."""
        sums = [
            (ref, span, self.spent(span, self.batch)) for ref, page in self.book.pages.items() for span in page.spent
        ]
        found = [each.id for each in self.book.unlanded() if each.id in self.entered()]
        return self.book, self.batch, found, sums

    @rule(reading=readings)
    def take(self, reading: Any) -> None:
        book, batch, found, sums = reading
        if book is self.book:
            book.land(batch, found)
            for ref, span, amount in sums:
                book.know(ref, span, batch, amount)

    # --- Misfortunes -----------------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        """The process dies; its open reservations with it, its spool stays."""
        self.book = Book()

    @rule(period=st.sampled_from(["day", "week", "month", "total"]))
    def change_period(self, period: str) -> None:
        self.budgets = (replace(self.budgets[0], period=period), self.budgets[1])

    @rule(days=st.integers(min_value=-2, max_value=2))
    def clock(self, days: int) -> None:
        """Time passes, or the clock jumps back."""
        self.day += days

    # --- What holds ------------------------------------------------------------------------------

    @invariant()
    def what_is_known_is_the_truth(self) -> None:
        """Spent and held are never less than in truth, and more by no more than what was moved in silence."""
        silent = sum(each.amount for each in self.book.unlanded() if self.records[each.id].batch is not None)
        for ref, page in self.book.pages.items():
            for span, spent in page.spent.items():
                known, truth = spent.amount + self.book.held_in(page, span), self.spent(span) + self.reserved(span)
                assert truth <= known <= truth + silent, ref

    def teardown(self) -> None:
        """Once all is settled, moved and told of, what is known as spent is the ledger's sum, and nothing is held."""
        for reservation in list(self.book.reservations.values()):
            if self.book.settle(reservation, reservation.amount):
                self.records[reservation.id] = Record(reservation.day, reservation.amount)
        self.move()
        self.take(self.read())
        assert not self.book.reservations
        for page in self.book.pages.values():
            assert not page.held
            for span, spent in page.spent.items():
                assert spent.amount == self.spent(span)


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


# --- By example ----------------------------------------------------------------------------------


def opened(book: Book, *budgets: Scope, id: str = "a", spent: int = 0) -> Reservation:
    reservation = book.open(id, "w", TODAY * SECONDS, budgets)
    for scope in budgets:
        book.know(scope.ref, span_of(scope.period, TODAY), 1, spent)
    return reservation


def test_ten_fit_in_a_budget_for_ten() -> None:
    book = Book()
    fits = []
    for number in range(200):
        reservation = opened(book, budget(limit=1000), id=str(number))
        if fit := book.obstacle(reservation, 100) is None:
            book.hold(reservation, 100)
        fits.append(fit)
    assert fits == [True] * 10 + [False] * 190


def test_the_shortfall_tells_how_the_budget_stands() -> None:
    book = Book()
    first = opened(book, budget(), id="first", spent=300)
    book.hold(first, 500)
    second = opened(book, budget(), budget("workspace"), id="second", spent=300)
    found = book.obstacle(second, 201)
    assert isinstance(found, Shortfall)
    assert (found.scope.kind, found.needed, found.spent, found.held, found.limit) == ("key", 201, 300, 500, LIMIT)
    assert book.obstacle(second, 200) is None


def test_every_budget_of_a_request_counts() -> None:
    book = Book()
    reservation = opened(book, budget(), budget("user"), budget("workspace", 50))
    found = book.obstacle(reservation, 51)
    assert isinstance(found, Shortfall)
    assert found.scope.kind == "workspace"


def test_what_was_set_back_counts_no_more() -> None:
    book = Book()
    set_back = budget(reset_at=TODAY * SECONDS + 60.0, reset_pico=900)
    reservation = opened(book, set_back, spent=950)
    found = book.obstacle(reservation, 951)
    assert isinstance(found, Shortfall)
    assert (found.spent, found.limit) == (50, LIMIT)
    assert book.obstacle(reservation, 950) is None


def test_a_reset_of_another_period_counts_nothing() -> None:
    book = Book()
    reservation = opened(book, budget(reset_at=(TODAY - 1) * SECONDS + 60.0, reset_pico=900), spent=950)
    assert book.obstacle(reservation, 51) is not None


def test_a_new_period_counts_what_was_spent_since_it_began_and_what_is_held() -> None:
    book = Book()
    daily = opened(book, budget(period="day"), id="daily", spent=100)
    book.hold(daily, 400)
    monthly = book.open("monthly", "w", TODAY * SECONDS, (budget(period="month"),))
    unopened = book.obstacle(monthly, 1)
    assert isinstance(unopened, Unopened)
    assert unopened.span.period == "month"
    book.know("key:1", unopened.span, 1, 450)
    assert book.obstacle(monthly, 150) is None
    assert book.obstacle(monthly, 151) is not None


def test_a_sum_that_lacks_what_was_dropped_is_not_taken() -> None:
    """A reading that began before a record was entered must not come after what was held for it was dropped."""
    book = Book()
    reservation = opened(book, budget())
    book.hold(reservation, 400)
    book.settle(reservation, 400)
    book.land(5, ["a"])
    assert book.pages["key:1"].spent == {span_of("day", TODAY): Spent(1, 400)}
    assert not book.know("key:1", span_of("week", TODAY), 4, 0)
    assert book.know("key:1", span_of("week", TODAY), 5, 400)


def test_old_pages_are_dropped_and_used_ones_kept() -> None:
    book = Book()
    opened(book, budget())
    book.open("b", "w", (TODAY + 3) * SECONDS, (budget("user"),))
    assert book.settle(book.reservations["a"], 0)
    book.prune(TODAY + 3)
    assert set(book.pages) == {"user:1"}


@pytest.mark.parametrize(
    ("period", "day", "first", "end", "renews"),
    [
        ("day", TODAY, TODAY, TODAY + 1, "2024-10-05T00:00:00Z"),
        ("week", TODAY, 19996, 20003, "2024-10-07T00:00:00Z"),
        ("week", 20003, 20003, 20010, "2024-10-14T00:00:00Z"),
        ("month", TODAY, 19997, 20028, "2024-11-01T00:00:00Z"),
        ("month", 19782, 19754, 19783, "2024-03-01T00:00:00Z"),
        ("total", TODAY, 0, None, None),
        ("", TODAY, 0, None, None),
    ],
)
def test_periods_are_the_calendars(period: str, day: int, first: int, end: int | None, renews: str | None) -> None:
    """Day 20,000 was Friday, 4 October 2024."""
    span = span_of(period, day)
    assert span.first == first
    assert end is None or span.end == end
    assert span.renews_at == renews
    assert span.holds(day)
