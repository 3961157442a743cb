"""What one request reserves: a bound for each target that it asks, until it is settled by what it cost."""

from typing import TYPE_CHECKING

from gateway_project.lib.errors import ApiError, BudgetExceeded
from routing.budgets import till, watch
from routing.budgets.book import Reservation, Shortfall
from routing.budgets.bounds import Size, bound, size_of
from routing.budgets.shortfall import because, budget_exceeded
from routing.budgets.till import Till
from routing.providers.base import Target

if TYPE_CHECKING:
    from routing.exchange import Exchange

UNTOLD = "what it would cost cannot be told beforehand, and a budget holds for this request"


class Hold:
    """Opened before the first target is asked, and settled once, whatever happened in between."""

    __slots__ = ("_covered", "_least", "_reservation", "_size", "_till")

    def __init__(self, till: Till, reservation: Reservation, size: Size) -> None:
        self._till = till
        self._reservation = reservation
        self._size = size
        # What was reserved for each call that may still be billed.
        self._covered: list[tuple[tuple[str, str], int]] = []
        self._least: Shortfall | None = None

    def covers_at_once(self, target: Target) -> bool:
        """Reserve what asking `target` may cost, where that fits and nobody has to be asked; as a rule that is so.

        False: nothing is reserved, and `cover` tells more.
        """
        most = bound(target, self._size)
        if most is None:
            return False
        if most:
            if not self._till.reserves_at_once(self._reservation, most):
                return False
            self._covered.append((target.key, most))
        return True

    async def cover(self, target: Target) -> str:
        """Reserve what asking `target` may cost. "" when that is done, else why it must not be asked.

        Raises `SpendingUnknown`.
        """
        most = bound(target, self._size)
        if most == 0:
            return ""
        if most is None:
            return UNTOLD
        shortfall = await self._till.reserve(self._reservation, most)
        if shortfall is not None and await self._size.narrowed():
            most = bound(target, self._size) or most
            shortfall = await self._till.reserve(self._reservation, most)
        if shortfall is None:
            self._covered.append((target.key, most))
            return ""
        if self._least is None or shortfall.needed < self._least.needed:
            self._least = shortfall
        return because(shortfall)

    def uncover(self, target: Target) -> None:
        """The last call of `target` will not be billed."""
        for position in range(len(self._covered) - 1, -1, -1):
            key, amount = self._covered[position]
            if key == target.key:
                del self._covered[position]
                self._till.release(self._reservation, amount)
                return

    def settle(self, cost: int) -> None:
        """Replace what is reserved by what the request cost, in picodollars. A second call does nothing."""
        self._till.settle(self._reservation, cost)

    def refusal(self, reasons: dict[str, str]) -> ApiError:
        """What the client is told when no target could be asked; `reasons` are by target's id.

        The workspace is told, too, once in a budget's period.
        """
        if self._least is not None:
            watch.refused(self._reservation.workspace, self._least)
        return refusal(self._least, reasons, limited=self._size.output is not None)


def refusal(least: Shortfall | None, reasons: dict[str, str], *, limited: bool) -> ApiError:
    """The 402: `least` is the budget that was the nearest to having room, `limited` as in `budget_exceeded`."""
    if least is not None:
        return budget_exceeded(least, limited=limited)
    told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
    return BudgetExceeded(f"No target may be asked within the budgets that hold for this request. {told}.")


def opened(exchange: "Exchange") -> Hold | None:
    """What `exchange` will reserve of the budgets that hold for it; None where none does."""
    caller = exchange.caller
    if caller is None or not caller.budgeted:
        return None
    current = till.current()
    reservation = current.open(exchange.id, caller.workspace_id, exchange.arrived, caller.budgets)
    return Hold(current, reservation, size_of(exchange.body, exchange.was_written()))
