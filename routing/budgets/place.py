"""Where processes that share budgets reserve together: what a place is asked, and what it says."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from keys.limits import Scope
from routing.budgets.book import Page, Reservation, Shortfall, Spent, Unopened
from routing.budgets.periods import Span


class Stale(Exception):
    """The place is that of another generation; of none (0) when it is new, or has lost what it knew."""

    def __init__(self, generation: int) -> None:
        super().__init__(f"generation {generation}")
        self.generation = generation


@dataclass(slots=True)
class Wish:
    """A reservation that wants to hold `more`."""

    reservation: Reservation
    more: int


@dataclass(slots=True)
class News:
    """What a place has not been told of a page yet."""

    # Sums that were newly read.
    spent: dict[Span, Spent] = field(default_factory=dict)
    # What landed: day, amount, batch.
    landed: list[tuple[int, int, int]] = field(default_factory=list)
    # A batch of which the place may have been told, or not.
    doubt: int = 0

    def in_doubt(self) -> int:
        """The `doubt` of the next news, where this was told, and nobody knows whether it was heard."""
        return max([self.doubt, *(batch for _, _, batch in self.landed)])


class Leaf(NamedTuple):
    """A copy of one page of the book: what this process holds by day, and what is new."""

    ref: str
    scope: Scope
    workspace: str
    held: dict[int, int]
    # The part of it that requests have cost.
    due: dict[int, int]
    news: News


# None: it is held.
Verdict = Shortfall | Unopened | None


class Place(Protocol):
    """One at a time: a process asks for the next only when it has heard of the last."""

    async def register(self, generation: int, leaves: list[Leaf]) -> None:
        """Bring all that this process holds to the till of a new generation. Raises `Stale`, and what its kind does."""
        ...

    async def reserve(self, generation: int, leaves: list[Leaf], wishes: list[Wish]) -> list[Verdict]:
        """Bring what this process holds on `leaves`, the pages of every wish among them; then grant what fits, in turn.

        Raises as `register`. What was granted may then be unknown; so it is brought again.
        """
        ...


def leaf_of(page: Page, news: News | None = None) -> Leaf:
    """A page as it is now, to be read while the book changes."""
    return Leaf(page.scope.account, page.scope, page.workspace, dict(page.held), dict(page.due), news or News())
