"""What the budgets would say to a request that is only explained: nothing is reserved."""

from django.db import connection

from gateway_project.lib.errors import ApiError
from routing.budgets import till
from routing.budgets.book import Book, Shortfall
from routing.budgets.bounds import bound, size_of
from routing.budgets.hold import UNTOLD, refusal
from routing.budgets.periods import day_of, span_of
from routing.budgets.shortfall import because
from routing.budgets.sums import Asked, read
from routing.decision import Decision
from routing.exchange import Exchange


def preview(exchange: Exchange, decision: Decision) -> tuple[dict[str, str], ApiError | None]:
    """By id, why each target of `decision` would not be asked; and the refusal when none would be.

    What is spent is the ledger's; what is reserved is known of this process. Uses Django's connection.
    """
    caller = exchange.caller
    budgets = caller.budgets if caller is not None else ()
    if caller is None or not budgets or not decision.targets:
        return {}, None
    book, day = Book(), day_of(exchange.arrived)
    reservation = book.open(exchange.id, caller.workspace_id, exchange.arrived, budgets)
    spans = [span_of(scope.period, day) for scope in budgets]
    asked = [Asked(caller.workspace_id, scope.kind, scope.id, span) for scope, span in zip(budgets, spans, strict=True)]
    with connection.cursor() as cursor:
        batch, amounts = read(cursor, asked)
    for scope, span, amount in zip(budgets, spans, amounts, strict=True):
        book.pages[scope.account].held = till.held_of(scope.account)
        book.know(scope.account, span, batch, amount)
    size = size_of(exchange.body)
    reasons: dict[str, str] = {}
    least: Shortfall | None = None
    for target in decision.targets:
        most = bound(target, size)
        found = book.obstacle(reservation, most) if most else None
        if found is not None and size.narrow():
            found = book.obstacle(reservation, bound(target, size) or 0)
        if most is None:
            reasons[target.id] = UNTOLD
        elif type(found) is Shortfall:
            reasons[target.id] = because(found)
            least = found if least is None or found.needed < least.needed else least
    asked_for = [target for target in decision.targets if target.key not in decision.fallbacks]
    if all(target.id in reasons for target in asked_for):
        for target in decision.targets:
            reasons.setdefault(
                target.id, "it is a fallback for a model that fails, not for what there is no budget for"
            )
        return reasons, refusal(least, reasons, limited=size.output is not None)
    return reasons, None
