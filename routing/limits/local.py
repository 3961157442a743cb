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


class Counted:
    """What a scope has used: its requests and tokens of the last window, and its streams that run."""

    __slots__ = ("requests", "streams", "tokens")

    def __init__(self) -> None:
        self.requests = Log()
        self.tokens = Log()
        # By request id.
        self.streams: set[str] = set()

    def expire(self, before: float) -> bool:
        """Forget what is older. True when nothing is left."""
        self.requests.expire(before)
        self.tokens.expire(before)
        return not (self.requests.entries or self.tokens.entries or self.streams)


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
        """What `scope` has used, counted from now on if it was not."""
        known = self._counted.get(scope.ref)
        if known is not None:
            if known[1] is not scope:  # it was changed
                self._counted[scope.ref] = (known[0], scope)
            return known[0]
        self._forget_idle()
        made = Counted()
        self._counted[scope.ref] = (made, scope)
        return made

    def _forget_idle(self) -> None:
        """Look at the two that were longest not looked at, so that as many are forgotten as are made."""
        now = self.clock()
        for ref in [ref for ref, _ in zip(self._counted, range(2), strict=False)]:
            counted, scope = self._counted.pop(ref)
            if not counted.expire(now - scope.window):
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
            counted, window = self.of(scope), scope.window
            most = scope if share is None else share.of(scope, now)
            if most.requests is not None:
                log = counted.requests
                if log.entries and log.entries[0].at < now - window:
                    log.expire(now - window)
                if log.total >= most.requests:
                    worst = _longer(worst, scope, "requests", log.wait(1, most.requests, window, now))
            if most.tokens is not None:
                log = counted.tokens
                if log.entries and log.entries[0].at < now - window:
                    log.expire(now - window)
                weight = min(tokens, most.tokens)
                if not weight or log.total + weight > most.tokens:
                    worst = _longer(worst, scope, "tokens", log.wait(weight, most.tokens, window, now))
            if stream and most.streams is not None and len(counted.streams) >= most.streams:
                worst = _longer(worst, scope, "streams", 0.0)
        return worst

    def count(self, scopes: Scopes, id_: str, tokens: int, *, stream: bool) -> Callable[[int], None] | None:
        """Count a request in every scope. What tells its end, where any of it depends on that."""
        return self.take(scopes, id_, tokens, stream=stream)[0]

    def take(
        self, scopes: Scopes, id_: str, tokens: int, *, stream: bool
    ) -> tuple[Callable[[int], None] | None, Standing | None]:
        """As `count`, and where the caller stands then, as `standing` tells it where nothing is shared."""
        now = self.clock()
        tightest: Standing | None = None
        reserved: list[tuple[Log, Entry, int]] = []
        streaming: list[set[str]] = []
        for scope in scopes:
            counted, window, limit = self.of(scope), scope.window, scope.requests
            if limit is not None:
                log = counted.requests
                reset = log.add(now, 1, window, id_).at + window - now
                found = Standing(limit, max(0, limit - log.total), min(reset, window))
                tightest = found if tightest is None else tighter(tightest, found)
            if scope.tokens is not None:
                weight = min(tokens, scope.tokens)
                reserved.append((counted.tokens, counted.tokens.add(now, weight, window, id_), weight))
            if stream and scope.streams is not None:
                counted.streams.add(id_)
                streaming.append(counted.streams)
        if not reserved and not streaming:
            return None, tightest

        def end(used: int) -> None:
            for log, entry, weight in reserved:
                log.correct(entry, used - weight)
            for running in streaming:
                running.discard(id_)

        return end, tightest

    def standing(self, scopes: Scopes, share: Share | None = None) -> Standing | None:
        """Where the caller stands now; None when no scope limits requests."""
        now = self.clock()
        tightest: Standing | None = None
        for scope in scopes:
            limit = scope.requests
            if limit is None:
                continue
            log, window = self.of(scope).requests, scope.window
            entries = log.entries
            if entries and entries[0].at < now - window:
                log.expire(now - window)
            most = limit if share is None else share.of(scope, now).requests or 0
            reset = entries[-1].at + window - now if entries else 0.0
            found = Standing(limit, max(0, most - log.total), min(reset, window))
            tightest = found if tightest is None else tighter(tightest, found)
        return tightest


def _longer(worst: Refusal | None, scope: Scope, unit: Unit, wait: float) -> Refusal:
    """The one that is in the way for longer: when it is over, so is the other."""
    return worst if worst is not None and worst.wait >= wait else Refusal(scope, unit, wait)


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
        refusal = self._counts.refusal(scopes, tokens, stream=exchange.stream)
        if refusal is not None:
            exchange.standing = self._counts.standing(scopes)
            raise refusal.error()
        end, exchange.standing = self._counts.take(scopes, exchange.id, tokens, stream=exchange.stream)
        return None if end is None else Permit(end)

    async def standing(self, caller: Caller) -> Standing | None:
        """Where `caller` stands, without counting anything."""
        return self._counts.standing(caller.rates) if caller.rates else None
