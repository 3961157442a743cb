"""Processes that share a budget keep to it together, in Redis and in Postgres, whatever is lost on the way."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway_project.lib.ids import uuid7_text
from gateway_project.lib.redis_link import RedisLink
from keys.limits import Scope
from routing.budgets.book import Book, Reservation, Shortfall, Spent, Unopened
from routing.budgets.in_postgres import InPostgres
from routing.budgets.in_redis import InRedis
from routing.budgets.periods import SECONDS, Span, span_of
from routing.budgets.place import News, Place, Stale, Verdict, Wish, leaf_of
from routing.budgets.sums import Postgres
from routing.models import BudgetTill
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.django_db(transaction=True)

Work = Callable[[list[Place]], Coroutine[Any, Any, None]]

TODAY = 20_000
# More than 2^53 picodollars, with a last digit that a double would lose.
LIMIT = 20_000 * 10**12 + 7
SPAN = span_of("day", TODAY)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@dataclass
class Teller:
    """A process, as the shared till has it talk to a place."""

    place: Place
    book: Book = field(default_factory=Book)
    news: dict[str, News] = field(default_factory=dict)
    open: list[Reservation] = field(default_factory=list)
    due: list[Reservation] = field(default_factory=list)

    async def call(self, generation: int, refs: set[str], wishes: list[Wish], *, lost: str = "") -> list[Verdict]:
        """What the place says. A lost "call" is not heard by it; a lost "reply" is, and nobody hears what it says."""
        news = {ref: self.news.pop(ref, News()) for ref in refs}
        leaves = [leaf_of(self.book.pages[ref], news[ref]) for ref in sorted(refs)]
        verdicts = await self.place.reserve(generation, leaves, wishes) if lost != "call" else []
        if lost:
            # Which of the two it was is not known here.
            self.news |= {ref: News(doubt=told.in_doubt()) for ref, told in news.items()}
            return []
        for wish, verdict in zip(wishes, verdicts, strict=True):
            if verdict is None:
                self.book.hold(wish.reservation, wish.more)
        return verdicts


class World:
    """Some tellers, and the ledger: the truth."""

    def __init__(self, places: list[Place], chance: random.Random) -> None:
        self.scope = Scope(kind="key", id="k", ref=f"key:{uuid7_text()}", name="k", budget_pico=LIMIT, period="day")
        self.other = Scope(kind="workspace", id="w", ref=f"w:{uuid7_text()}", name="w", budget_pico=2 * LIMIT)
        self.tellers = [Teller(place) for place in places]
        self.chance = chance
        self.batch = 0
        # Of each settled request: its cost, and the batch that it was entered in.
        self.records: dict[str, tuple[int, int | None]] = {}

    def spent(self, as_of: int | None = None) -> int:
        known = self.records.values()
        return sum(cost for cost, batch in known if as_of is None or (batch is not None and batch <= as_of))

    def reserved(self) -> int:
        return sum(reservation.amount for teller in self.tellers for reservation in teller.open)

    def lost(self, probability: float) -> str:
        return self.chance.choice(["call", "reply"]) if self.chance.random() < probability else ""

    async def step(self) -> None:
        teller = self.chance.choice(self.tellers)
        match self.chance.choice(["ask", "ask", "ask", "settle", "settle", "move", "read", "tell"]):
            case "ask":
                await self.ask(teller)
            case "settle" if teller.open:
                reservation = teller.open.pop(self.chance.randrange(len(teller.open)))
                cost = self.chance.randint(0, reservation.amount)
                teller.book.settle(reservation, cost)
                self.records[reservation.id] = (cost, None)
            case "move":
                self.move()
            case "read":
                for each in self.tellers:
                    self.tell_sum(each)
            case "tell":
                refs = set(teller.book.pages)
                await teller.call(1, refs, [], lost=self.lost(0.3))
            case _:
                pass
        await self.probe(self.chance.choice(self.tellers), fits=False)

    async def ask(self, teller: Teller) -> None:
        reservation = teller.book.open(uuid7_text(), "w", TODAY * SECONDS, (self.scope, self.other))
        refs = {self.scope.ref, self.other.ref}
        wish = Wish(reservation, self.chance.randint(1, LIMIT // 3))
        for _ in range(10):
            verdicts = await teller.call(1, refs, [wish], lost=self.lost(0.2))
            if verdicts and type(verdicts[0]) is not Unopened:
                break
            if verdicts:
                self.tell_sum(teller)
        if verdicts and verdicts[0] is None:
            teller.open.append(reservation)
            assert self.spent() + self.reserved() <= LIMIT
        else:
            teller.book.settle(reservation, 0)

    def tell_sum(self, teller: Teller) -> None:
        """A reading of the sums, and of what of this teller's they have."""
        found = [id for id, (_, batch) in self.records.items() if batch is not None]
        self.land(teller, self.batch, found)
        for scope in (self.scope, self.other):
            if scope.ref in teller.book.pages:
                span = span_of(scope.period, TODAY)
                teller.news.setdefault(scope.ref, News()).spent[span] = Spent(self.batch, self.spent(self.batch))

    def move(self) -> None:
        """What is settled is entered; its teller hears of it, or does not."""
        self.batch += 1
        ids = [id for id, (_, batch) in self.records.items() if batch is None]
        for id in ids:
            self.records[id] = (self.records[id][0], self.batch)
        for teller in self.tellers:
            if self.chance.random() < 0.7:
                self.land(teller, self.batch, ids)

    def land(self, teller: Teller, batch: int, ids: list[str]) -> None:
        for reservation in teller.book.land(batch, ids):
            for scope in reservation.budgets:
                teller.news.setdefault(scope.ref, News()).landed.append((TODAY, reservation.amount, batch))

    async def probe(self, teller: Teller, *, fits: bool) -> None:
        """Ask for all that is left, or for a picodollar more; what is granted is given back at once."""
        room = LIMIT - self.spent() - self.reserved()
        reservation = teller.book.open(uuid7_text(), "w", TODAY * SECONDS, (self.scope,))
        (verdict,) = await teller.call(1, {self.scope.ref}, [Wish(reservation, room if fits else room + 1)])
        assert (verdict is None) == fits, (verdict, room)
        teller.book.settle(reservation, 0)

    async def end(self) -> None:
        """All is settled, entered and told: what is known as spent is the ledger's sum, and the rest fits."""
        for teller in self.tellers:
            for reservation in teller.open:
                teller.book.settle(reservation, reservation.amount)
                self.records[reservation.id] = (reservation.amount, None)
            teller.open.clear()
        self.move()
        # One tells the sum, which has what the others then say of what landed.
        self.tell_sum(self.tellers[0])
        for teller in self.tellers:
            self.land(teller, self.batch, list(self.records))
            await teller.call(1, set(teller.book.pages), [])
        for teller in self.tellers:
            await self.probe(teller, fits=False)
            await self.probe(teller, fits=True)
            await teller.call(1, {self.scope.ref}, [])


async def run(places: list[Place], seed: int) -> None:
    for place in places:
        await place.register(1, [])
    world = World(places, random.Random(seed))
    for _ in range(60):
        await world.step()
    await world.end()


async def lose(places: list[Place], lost: list[str]) -> None:
    """What landed is told of in calls that are `lost`: from then on nothing counts but a sum that has it."""
    for place in places:
        await place.register(1, [])
    first, second = map(Teller, places)
    scope = Scope(kind="key", id="k", ref=f"key:{uuid7_text()}", name="k", budget_pico=LIMIT, period="day")

    async def ask(teller: Teller, more: int, sum: Spent | None = None) -> tuple[Reservation, Verdict]:
        if sum is not None:
            teller.news[scope.ref] = News(spent={SPAN: sum})
        reservation = teller.book.open(uuid7_text(), "w", TODAY * SECONDS, (scope,))
        (verdict,) = await teller.call(1, {scope.ref}, [Wish(reservation, more)])
        return reservation, verdict

    reservation, verdict = await ask(first, LIMIT - 5, Spent(1, 0))
    assert verdict is None
    first.book.settle(reservation, LIMIT - 5)
    first.book.land(2, [reservation.id])
    first.news[scope.ref] = News(landed=[(TODAY, LIMIT - 5, 2)])
    for what in [*lost, ""]:
        await first.call(1, {scope.ref}, [], lost=what)
    assert type((await ask(second, 6))[1]) is Unopened
    assert type((await ask(second, 6, Spent(1, 0)))[1]) is Unopened, "read before it landed"
    assert (await ask(second, 6, Spent(2, LIMIT - 5)))[1] == Shortfall(scope, SPAN, 6, LIMIT - 5, 0)
    assert (await ask(second, 5))[1] is None


async def with_redis(server: RedisServer, work: Work, count: int) -> None:
    link = RedisLink(server.url)
    try:
        await work([InRedis(link, uuid7_text()) for _ in range(count)])
    finally:
        await link.close()


def with_postgres(work: Work, count: int) -> None:
    BudgetTill.objects.create(id=1, generation=1, place="postgres")
    postgres = [Postgres() for _ in range(count)]
    try:
        asyncio.run(work([InPostgres(each, uuid7_text()) for each in postgres]))
    finally:
        for each in postgres:
            each.close()


@pytest.mark.parametrize("seed", range(12))
async def test_in_redis(redis: RedisServer, seed: int) -> None:
    await with_redis(redis, lambda places: run(places, seed), 3)


@pytest.mark.parametrize("seed", range(8))
def test_in_postgres(seed: int) -> None:
    with_postgres(lambda places: run(places, seed), 3)


LOSSES = pytest.mark.parametrize("lost", [["call"], ["reply"], ["call", "call"], ["reply", "call"]], ids="+".join)


@LOSSES
async def test_what_is_lost_on_the_way_to_redis(redis: RedisServer, lost: list[str]) -> None:
    await with_redis(redis, lambda places: lose(places, lost), 2)


@LOSSES
def test_what_is_lost_on_the_way_to_postgres(lost: list[str]) -> None:
    with_postgres(lambda places: lose(places, lost), 2)


async def test_another_generation_is_refused(redis: RedisServer) -> None:
    link = RedisLink(redis.url)
    place = InRedis(link, uuid7_text())
    redis.client().flushall()
    with pytest.raises(Stale) as none:
        await place.reserve(4, [], [])
    assert none.value.generation == 0
    await place.register(5, [])
    with pytest.raises(Stale) as other:
        await place.reserve(4, [], [])
    assert other.value.generation == 5
    with pytest.raises(Stale):
        await place.register(4, [])
    await link.close()


async def test_the_shortfall_is_told_to_the_last_picodollar(redis: RedisServer) -> None:
    link = RedisLink(redis.url)
    first, second = (Teller(InRedis(link, uuid7_text())) for _ in range(2))
    await first.place.register(9, [])
    scope = Scope(kind="key", id="k", ref=f"key:{uuid7_text()}", name="k", budget_pico=LIMIT, period="day")
    asked: list[Any] = []
    for teller, more in ((first, LIMIT - 5), (second, 6), (second, 5)):
        reservation = teller.book.open(uuid7_text(), "w", TODAY * SECONDS, (scope,))
        teller.news[scope.ref] = News(spent={Span("day", TODAY, TODAY + 1): Spent(0, 0)})
        asked += await teller.call(9, {scope.ref}, [Wish(reservation, more)])
    assert asked == [None, Shortfall(scope, SPAN, 6, 0, LIMIT - 5), None]
    await link.close()
