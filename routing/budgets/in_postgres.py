"""The till in Postgres, for as long as Redis is away: a row for each scope, locked while it is decided on."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import orjson
import psycopg

from routing.budgets.book import Book, Spent
from routing.budgets.periods import Span
from routing.budgets.place import Leaf, Stale, Verdict, Wish
from routing.budgets.sums import Postgres
from routing.models import BudgetPage, BudgetTill

_PAGE, _TILL = BudgetPage._meta.db_table, BudgetTill._meta.db_table

# Shared, so that reservations do not wait for each other here, and a change of the generation waits for all of them.
_GENERATION = f"SELECT generation FROM {_TILL} FOR SHARE"  # noqa: S608  (tables' names, here and below)
# In the order of their names, so that two processes cannot wait for each other.
_MAKE = f"""
INSERT INTO {_PAGE} (ref, generation, content) SELECT ref, 0, '{{}}' FROM unnest(%s::text[]) AS ref ORDER BY ref
ON CONFLICT DO NOTHING
"""  # noqa: S608
_LOCK = f"SELECT ref, generation, content FROM {_PAGE} WHERE ref = ANY(%s) ORDER BY ref FOR UPDATE"  # noqa: S608
_WRITE = f"""
UPDATE {_PAGE} AS page SET generation = %s, content = new.content
FROM unnest(%s::text[], %s::jsonb[]) AS new(ref, content) WHERE page.ref = new.ref
"""  # noqa: S608


@dataclass(slots=True)
class _Shared:
    """What a row holds: what each teller holds by day, the sums that are known, and the last batch that landed."""

    held: dict[str, dict[int, int]] = field(default_factory=dict)
    spent: dict[Span, Spent] = field(default_factory=dict)
    landed: int = 0

    @classmethod
    def read(cls, content: dict[str, Any]) -> Self:
        held = {
            teller: {int(day): int(amount) for day, amount in days.items()}
            for teller, days in content.get("held", {}).items()
        }
        spent = {
            Span(period, first, end): Spent(batch, int(amount))
            for period, first, end, batch, amount in content.get("spent", ())
        }
        return cls(held, spent, content.get("landed", 0))

    def written(self) -> str:
        """JSON, with amounts as text, since they may be greater than its readers' integers."""
        held = {
            teller: {str(day): str(amount) for day, amount in days.items()}
            for teller, days in self.held.items()
            if days
        }
        spent = [[*span, known.batch, str(known.amount)] for span, known in self.spent.items()]
        return orjson.dumps({"held": held, "spent": spent, "landed": self.landed}).decode()


class InPostgres:
    """See `Place`. Raises `psycopg.Error`."""

    def __init__(self, postgres: Postgres, teller: str) -> None:
        self._postgres = postgres
        self._teller = teller

    async def register(self, generation: int, leaves: list[Leaf]) -> None:
        await self.reserve(generation, leaves, [])

    async def reserve(self, generation: int, leaves: list[Leaf], wishes: list[Wish]) -> list[Verdict]:
        # Copies: the loop goes on while a thread decides.
        asked = [Wish(replace(wish.reservation, amount=0, settled=False), wish.more) for wish in wishes]
        return await self._postgres.run(lambda connection: self._decide(connection, generation, leaves, asked))

    def _decide(
        self, connection: "psycopg.Connection[Any]", generation: int, leaves: list[Leaf], wishes: list[Wish]
    ) -> list[Verdict]:
        refs = [leaf.ref for leaf in leaves]
        with connection.transaction():
            found = connection.execute(_GENERATION).fetchone()
            if found is None or found[0] != generation:
                raise Stale(found[0] if found is not None else 0)
            connection.execute(_MAKE, [refs])
            # Rows of another generation say nothing.
            shared = {
                ref: _Shared.read(content if kept == generation else {})
                for ref, kept, content in connection.execute(_LOCK, [refs]).fetchall()
            }
            book = Book()
            outside: dict[tuple[str, int], int] = {}
            for leaf in leaves:
                _take(book, shared[leaf.ref], leaf)
                outside |= _others(shared[leaf.ref], leaf.ref, self._teller)
            verdicts: list[Verdict] = []
            for wish in wishes:
                verdict = book.obstacle(wish.reservation, wish.more, outside)
                if verdict is None:
                    book.hold(wish.reservation, wish.more)
                verdicts.append(verdict)
            for ref, page in book.pages.items():
                known = shared[ref]
                known.held[self._teller], known.spent, known.landed = page.held, page.spent, page.landed
            connection.execute(_WRITE, [generation, refs, [shared[ref].written() for ref in refs]])
        return verdicts


def _take(book: Book, shared: _Shared, leaf: Leaf) -> None:
    """Make the page of which `shared` and `leaf` are the parts."""
    page = book.page(leaf.workspace, leaf.scope)
    page.held, page.due, page.spent, page.landed = dict(leaf.held), leaf.due, dict(shared.spent), shared.landed
    for day, amount, batch in leaf.news.landed:
        page.land(day, amount, batch)
    if leaf.news.doubt:
        page.doubt(leaf.news.doubt)
    for span, known in leaf.news.spent.items():
        page.know(span, known.batch, known.amount)


def _others(shared: _Shared, ref: str, me: str) -> dict[tuple[str, int], int]:
    others: Iterable[dict[int, int]] = (days for teller, days in shared.held.items() if teller != me)
    found: dict[tuple[str, int], int] = {}
    for days in others:
        for day, amount in days.items():
            found[ref, day] = found.get((ref, day), 0) + amount
    return found
