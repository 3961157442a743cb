"""Limits that this process counts by itself: exactly, by a clock that cannot be set."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from keys.limits import Scope
from routing.exchange import Exchange
from routing.limits import estimate
from routing.limits.log import Entry, Log
from routing.limits.permit import Permit, Refusal, Standing, Unit, tighter
from routing.snapshot import Caller

Clock = Callable[[], float]
Scopes = tuple[Scope, ...]


class Counted(Log):
    """What a scope has used: its requests and tokens of the last window, and its streams that run."""

    __slots__ = ("streams",)

    def __init__(self) -> None:
        super().__init__()
        # By request id.
        self.streams: set[str] = set()

    def full(self, limits: Scope, tokens: int, *, stream: bool) -> list[Unit]:
        """Which of `limits` have no room for one more request. One of more tokens than they allow needs all of them."""
        full: list[Unit] = []
        if limits.requests is not None and self.requests >= limits.requests:
            full.append("requests")
        if limits.tokens is not None:
            weight = tokens if tokens < limits.tokens else limits.tokens
            if not weight or self.tokens + weight > limits.tokens:
                full.append("tokens")
        if stream and limits.streams is not None and len(self.streams) >= limits.streams:
            full.append("streams")
        return full

    def wait(self, unit: Unit, limits: Scope, tokens: int, now: float) -> float:
        """Seconds until one of `limits` that is full has room; 0 for streams, of which nobody knows when they end."""
        if unit == "requests":
            return self.until(unit, 1, limits.requests or 0, limits.window, now)
        if unit == "tokens":
            most = limits.tokens or 0
            return self.until(unit, min(tokens, most), most, limits.window, now)
        return 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.entries or self.streams)


class Held:
    """The `Permit` of a request that was counted here: the tokens that it reserved, and its stream's slots."""

    __slots__ = ("id", "reserved", "streaming")

    def __init__(self, id_: str, reserved: list[tuple[Log, Entry, int]], streaming: list[set[str]]) -> None:
        self.id = id_
        self.reserved = reserved
        self.streaming = streaming

    def settle(self, tokens: int) -> None:
        """It used so many tokens, and its stream has ended."""
        for log, entry, weight in self.reserved:
            log.correct(entry, tokens - weight)
        for running in self.streaming:
            running.discard(self.id)


class Share(Protocol):
    """How much of a scope's limits this process may give away, where it does not count for all."""

    def of(self, scope: Scope, now: float) -> Scope:
        """`scope` with smaller limits."""
        ...


class Counts:
    """The scopes' counts. `clock` is in seconds and never goes back."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        # In the order in which they were made or last found in use; with the scope, whose window tells what is idle.
        self._counted: dict[str, tuple[Counted, Scope]] = {}

    def of(self, scope: Scope) -> Counted:
        """What `scope` has used, counted from now on if it was not; what is older than its window included."""
        known = self._counted.get(scope.ref)
        if known is not None:
            if known[1] is not scope:  # it was changed
                self._counted[scope.ref] = (known[0], scope)
            return known[0]
        self._forget_idle()
        made = Counted()
        self._counted[scope.ref] = (made, scope)
        return made

    def within(self, scope: Scope, now: float) -> Counted:
        """What `scope` has used in the window that ends now."""
        counted, since = self.of(scope), now - scope.window
        if counted.entries and counted.entries[0].at < since:
            counted.expire(since)
        return counted

    def _forget_idle(self) -> None:
        """Look at the two that were longest not looked at, so that as many are forgotten as are made."""
        now = self.clock()
        for ref in [ref for ref, _ in zip(self._counted, range(2), strict=False)]:
            counted, scope = self._counted.pop(ref)
            counted.expire(now - scope.window)
            if not counted.idle:
                self._counted[ref] = (counted, scope)

    def all(self) -> Iterator[tuple[Scope, Counted]]:
        """Every scope that may have used something."""
        for counted, scope in list(self._counted.values()):
            yield scope, counted

    def __len__(self) -> int:
        return len(self._counted)

    def refusal(self, scopes: Scopes, tokens: int, *, stream: bool, share: Share | None = None) -> Refusal | None:
        """What is in the way of a request for the longest time; None when nothing is."""
        now = self.clock()
        worst: Refusal | None = None
        for scope in scopes:
            counted = self.within(scope, now)
            most = scope if share is None else share.of(scope, now)
            for unit in counted.full(most, tokens, stream=stream):
                wait = counted.wait(unit, most, tokens, now)
                if worst is None or worst.wait < wait:  # when the longer one is over, so is the other
                    worst = Refusal(scope, unit, wait)
        return worst

    def take(
        self, scopes: Scopes, id_: str, tokens: int, *, stream: bool
    ) -> tuple[Held | None, Standing | None] | None:
        """Count a request in every scope, as `count`, if it has room in all of them; if not, in none, and None."""
        now = self.clock()
        for scope in scopes:
            if self.within(scope, now).full(scope, tokens, stream=stream):
                return None
        return self._count(scopes, id_, tokens, now, stream=stream)

    def count(self, scopes: Scopes, id_: str, tokens: int, *, stream: bool) -> Held | None:
        """Count a request in every scope. What it holds until its end, if anything depends on that."""
        now = self.clock()
        for scope in scopes:
            self.within(scope, now)
        return self._count(scopes, id_, tokens, now, stream=stream)[0]

    def _count(
        self, scopes: Scopes, id_: str, tokens: int, now: float, *, stream: bool
    ) -> tuple[Held | None, Standing | None]:
        """What the request holds, and where its caller stands then, as `standing` tells it where nothing is shared."""
        tightest: Standing | None = None
        reserved: list[tuple[Log, Entry, int]] = []
        streaming: list[set[str]] = []
        for scope in scopes:
            counted, limit, most, window = self.of(scope), scope.requests, scope.tokens, scope.window
            if most is None:
                counted.add(now, 0, window, id_)
            else:
                weight = tokens if tokens < most else most
                reserved.append((counted, counted.add(now, weight, window, id_), weight))
            if limit is not None:
                left = limit - counted.requests
                # The request that was just counted is there for a whole window.
                found = Standing(limit, left if left > 0 else 0, window)
                tightest = found if tightest is None else tighter(tightest, found)
            if stream and scope.streams is not None:
                counted.streams.add(id_)
                streaming.append(counted.streams)
        return Held(id_, reserved, streaming) if reserved or streaming else None, tightest

    def standing(self, scopes: Scopes, share: Share | None = None) -> Standing | None:
        """Where the caller stands now; None when no scope limits requests."""
        now = self.clock()
        tightest: Standing | None = None
        for scope in scopes:
            limit = scope.requests
            if limit is None:
                continue
            counted = self.within(scope, now)
            most = limit if share is None else share.of(scope, now).requests or 0
            reset = counted.entries[-1].at + scope.window - now if counted.entries else 0.0
            found = Standing(limit, max(0, most - counted.requests), min(reset, scope.window))
            tightest = found if tightest is None else tighter(tightest, found)
        return tightest


def wanted_tokens(exchange: Exchange, scopes: Scopes) -> int:
    """The tokens to reserve; 0 where no scope counts them."""
    for scope in scopes:
        if scope.tokens is not None:
            return estimate.reserved(exchange)
    return 0


class LocalLimits:
    """The limits of an installation of one process."""

    degraded = ""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._counts = Counts(clock)

    async def admit(self, exchange: Exchange) -> Permit | None:
        """Count the exchange in all scopes of its caller; what it holds until it is settled, if anything.

        Raises `RateLimitExceeded`, having counted it in none.
        """
        assert exchange.caller is not None  # noqa: S101  (the pipeline knows who calls before it asks what they may)
        scopes = exchange.caller.rates
        if not scopes:
            return None
        tokens = wanted_tokens(exchange, scopes)
        while (taken := self._counts.take(scopes, exchange.id, tokens, stream=exchange.stream)) is None:
            refusal = self._counts.refusal(scopes, tokens, stream=exchange.stream)
            if refusal is not None:  # or what was in the way has expired just now
                exchange.standing = self._counts.standing(scopes)
                raise refusal.error()
        permit, exchange.standing = taken
        return permit

    async def standing(self, caller: Caller) -> Standing | None:
        """Where `caller` stands, without counting anything."""
        return self._counts.standing(caller.rates) if caller.rates else None
