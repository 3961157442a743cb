"""The limits of an installation, counted in its Redis by one script for each request.

What this process admitted itself it counts here, too. When Redis is away it goes on with its share (outage.py), or
refuses what is limited, as `LIMITS_FAIL` says. When Redis is back it is told what was admitted meanwhile, and everybody
is given a moment to do so before it decides again.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Sequence
from typing import Final

from gateway_project.lib import redis_link
from gateway_project.lib.errors import ServiceUnavailable
from gateway_project.lib.ids import uuid7_text
from gateway_project.lib.redis_link import RedisAway, RedisLink
from gateway_project.lib.resp import Part
from keys.limits import Scope
from routing.exchange import Exchange
from routing.limits.local import Clock, Counts, Scopes, wanted_tokens
from routing.limits.log import Entry, Weighed
from routing.limits.outage import Outage, Peers
from routing.limits.permit import UNITS, Permit, PermitWith, Refusal, Standing, tighter
from routing.limits.scripts import ADMIT, RECORD, RENEW, SETTLE
from routing.share import Channel
from routing.snapshot import Caller

logger = logging.getLogger(__name__)

MICRO: Final = 1_000_000
# Seconds that a stream's slot outlives its process, and between two renewals of it.
LEASE, RENEW_EVERY = 15.0, 5.0
# Seconds after Redis is back in which the processes tell it what they admitted meanwhile; they all look for it about
# once a second.
SETTLE_IN: Final = 2.0
# Entries, or streams, in one call of a script.
CHUNK: Final = 500
# Seconds for which Redis remembers which processes it has heard.
REMEMBERED: Final = 86_400

AWAY = {
    "local": "Redis is away: each process enforces its share of the limits",
    "closed": "Redis is away: what is limited is refused",
}


class SharedLimits:
    """`fail` is LIMITS_FAIL, `workers` the least number of processes there are."""

    def __init__(
        self, link: RedisLink, channel: Channel | None, *, workers: int, fail: str, clock: Clock = time.monotonic
    ) -> None:
        self._link = link
        self._fail = fail
        self._counts = Counts(clock)
        self._peers = Peers(channel, workers, clock)
        self._outage: Outage | None = None
        self._returning: asyncio.Task[None] | None = None
        # Streams that run, with the scopes in which they have a slot.
        self._streams: dict[str, list[str]] = {}
        self._renewal: asyncio.TimerHandle | None = None
        self._process = uuid7_text()
        self._numbers = itertools.count()
        self._clock_key = f"{redis_link.prefix}:limits:clock"
        self._here_key = f"{redis_link.prefix}:limits:here:{self._process}"
        link.on_connect(self._connected)

    @property
    def degraded(self) -> str:
        """What is wrong, for people; "" when nothing is. To be asked in any thread."""
        return AWAY[self._fail] if self._outage is not None or self._link.away else ""

    async def admit(self, exchange: Exchange) -> Permit | None:
        """As `LocalLimits.admit`. Raises `ServiceUnavailable`, too: Redis is away and LIMITS_FAIL is closed."""
        assert exchange.caller is not None  # noqa: S101  (the pipeline knows who calls before it asks what they may)
        scopes = exchange.caller.rates
        if not scopes:
            return None
        tokens = wanted_tokens(exchange, scopes)
        if self._outage is None:
            try:
                return await self._ask(exchange, scopes, tokens)
            except RedisAway as error:
                self._lose(error)
        return self._admit_here(exchange, scopes, tokens)

    async def standing(self, caller: Caller) -> Standing | None:
        """Where `caller` stands, without counting anything."""
        if not caller.rates:
            return None
        if self._outage is None:
            try:
                told = await self._run_admit("", caller.rates, 0, stream=False, count=False)
                return self._read(caller.rates, told)[1]
            except RedisAway as error:
                self._lose(error)
        return self._counts.standing(caller.rates, self._outage)

    # --- With Redis ------------------------------------------------------------------------------

    async def _ask(self, exchange: Exchange, scopes: Scopes, tokens: int) -> Permit | None:
        """Have Redis decide. Raises `RateLimitExceeded`, `RedisAway`."""
        id_, stream = exchange.id, exchange.stream
        try:
            told = await self._run_admit(id_, scopes, tokens, stream=stream, count=True)
        except asyncio.CancelledError:
            # It may have been counted: what it holds is free again, and that it was asked stays.
            self._link.send_script(SETTLE, [_base(s) for s in scopes], [id_, *_spent(id_, scopes, tokens, 0)])
            raise
        refusal, exchange.standing = self._read(scopes, told)
        if refusal is not None:
            raise refusal.error()
        # Where the tokens are counted in Redis.
        entries = told[7::5]
        return self._hold(id_, scopes, tokens, entries, stream=stream)

    async def _run_admit(self, id_: str, scopes: Scopes, tokens: int, *, stream: bool, count: bool) -> list[bytes]:
        keys: list[Part] = [self._clock_key]
        args: list[Part] = [id_, tokens, int(stream), int(LEASE * MICRO), int(count)]
        for scope in scopes:
            keys.append(_base(scope))
            args += (_limit(scope.requests), scope.window * MICRO, _limit(scope.tokens), _limit(scope.streams))
        told: bytes = await self._link.run(ADMIT, keys, args)
        return told.split()

    def _read(self, scopes: Scopes, told: list[bytes]) -> tuple[Refusal | None, Standing | None]:
        """What `ADMIT` has said."""
        tightest: Standing | None = None
        for number, scope in enumerate(scopes):
            requests, reset, tokens, streams = map(int, told[3 + 5 * number : 7 + 5 * number])
            self._peers.learn(scope, requests, tokens, streams)
            if scope.requests is not None:
                standing = Standing(scope.requests, max(0, scope.requests - requests), reset / MICRO)
                tightest = tighter(tightest, standing)
        blocked, unit, wait = int(told[0]), int(told[1]), int(told[2])
        if not blocked:
            return None, tightest
        return Refusal(scopes[blocked - 1], UNITS[unit - 1], wait / MICRO), tightest

    def _hold(
        self, id_: str, scopes: Scopes, tokens: int, entries: Sequence[Part] = (), *, stream: bool
    ) -> Permit | None:
        """Count here, too, what is counted in Redis; what is to be given back there and here."""
        here = self._counts.count(scopes, id_, tokens, stream=stream)
        if here is None:
            return None
        if stream:
            self._run_stream(id_, scopes)

        def give_back(used: int) -> None:
            here.settle(used)
            self._streams.pop(id_, None)
            self._link.send_script(
                SETTLE, [_base(s) for s in scopes], [id_, *_spent(id_, scopes, tokens, used, entries)]
            )

        return PermitWith(give_back)

    def _run_stream(self, id_: str, scopes: Scopes) -> None:
        """Renew the stream's slots until it ends."""
        held = [_base(scope) for scope in scopes if scope.streams is not None]
        if held:
            self._streams[id_] = held
            if self._renewal is None:
                self._renew_later()

    def _renew_later(self) -> None:
        """Renew every few seconds for as long as there is a stream."""
        loop = asyncio.get_running_loop()

        def renew() -> None:
            self._renewal = loop.call_later(RENEW_EVERY, renew) if self._streams else None
            self._renew()

        self._renewal = loop.call_later(RENEW_EVERY, renew)

    def _renew(self) -> None:
        """Extend the leases of the streams that run."""
        slots = [(base, id_) for id_, bases in self._streams.items() for base in bases]
        for start in range(0, len(slots), CHUNK):
            bases, ids = zip(*slots[start : start + CHUNK], strict=True)
            self._link.send_script(RENEW, [self._clock_key, *bases], [int(LEASE * MICRO), *ids])

    # --- Without ---------------------------------------------------------------------------------

    def _lose(self, error: RedisAway) -> None:
        """Redis is away, or refuses to count."""
        if self._outage is None:
            self._outage = Outage(self._counts, self._peers)
            logger.warning("%s (%s)", AWAY[self._fail], error)
        if self._link.connected:  # it refuses: there will be no new connection to wait for
            self._return()

    def _admit_here(self, exchange: Exchange, scopes: Scopes, tokens: int) -> Permit | None:
        """Decide by this process's share."""
        outage = self._outage
        if self._fail == "closed" or outage is None:
            raise ServiceUnavailable(
                "Redis, which counts this key's limits, is away, and LIMITS_FAIL says to refuse meanwhile.",
                headers={"retry-after": "1"},
            )
        refusal = self._counts.refusal(scopes, tokens, stream=exchange.stream, share=outage)
        if refusal is not None:
            exchange.standing = self._counts.standing(scopes, outage)
            raise refusal.error()
        id_ = exchange.id
        permit = self._hold(id_, scopes, tokens, stream=exchange.stream)
        exchange.standing = self._counts.standing(scopes, outage)
        if self._link.connected:
            self._record_one(id_, scopes, tokens)
        return permit

    def _record_one(self, id_: str, scopes: Scopes, tokens: int) -> None:
        """Tell a Redis that is just coming back of one more."""
        for scope in scopes:
            args: list[Part] = [scope.window * MICRO]
            if scope.requests is not None:
                args += ("r", 0, id_, 1)
            if scope.tokens is not None:
                args += ("t", 0, id_, min(tokens, scope.tokens))
            self._link.send_script(RECORD, [self._clock_key, _base(scope)], args)
        self._renew()

    # --- Back again ------------------------------------------------------------------------------

    def _connected(self) -> None:
        """A connection was made; what is asked next on it comes after what is sent here."""
        if self._outage is None and self._link.epoch > 1:
            self._outage = Outage(self._counts, self._peers)
        if self._outage is None:
            self._link.send("SET", self._here_key, 1, "EX", REMEMBERED)
        else:
            self._return()

    def _return(self) -> None:
        if self._returning is None or self._returning.done():
            self._returning = asyncio.get_running_loop().create_task(self._come_back(), name="limits come back")

    async def _come_back(self) -> None:
        """Until Redis decides again, or is away again."""
        while True:
            try:
                epoch = self._link.epoch
                await self._hand_over()
                await asyncio.sleep(SETTLE_IN)
                # It writes: a Redis that refuses to is not back.
                await self._link.run(RENEW, [self._clock_key], [int(LEASE * MICRO)])
                if self._link.epoch == epoch:
                    break
            except RedisAway:
                if not self._link.connected:
                    return  # `_connected` begins anew
                await asyncio.sleep(SETTLE_IN)
        self._outage = None
        logger.info("Redis counts the limits again")

    async def _hand_over(self) -> None:
        """Tell Redis what it does not know: what was admitted without it, or all if it has lost what it held."""
        known = await self._link.call("EXISTS", self._here_key)
        since = self._outage.began if known and self._outage is not None else float("-inf")
        now = self._counts.clock()
        for scope, counted in self._counts.all():
            counted.expire(now - scope.window)
            entries = counted.since(since)
            if scope.requests is not None:
                await self._hand_over_entries(scope, "r", "requests", entries)
            if scope.tokens is not None:
                await self._hand_over_entries(scope, "t", "tokens", entries)
        self._renew()
        await self._link.call("SET", self._here_key, 1, "EX", REMEMBERED)

    async def _hand_over_entries(self, scope: Scope, kind: str, what: Weighed, entries: list[Entry]) -> None:
        for start in range(0, len(entries), CHUNK):
            args: list[Part] = [scope.window * MICRO]
            now = self._counts.clock()
            for entry in entries[start : start + CHUNK]:
                # One that stands for several gets a name, so that it is not counted again the next time.
                entry.id = entry.id or f"{self._process}.{next(self._numbers)}"
                args += (kind, round((now - entry.at) * MICRO), entry.id, getattr(entry, what))
            await self._link.run(RECORD, [self._clock_key, _base(scope)], args)


def _base(scope: Scope) -> str:
    """The beginning of the names of what Redis keeps of `scope`."""
    return f"{redis_link.prefix}:limits:{scope.ref}"


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit


def _spent(id_: str, scopes: Scopes, tokens: int, used: int, entries: Sequence[Part] = ()) -> list[Part]:
    """For each scope, as `SETTLE` takes it: where its tokens were counted, and by how much they were more."""
    told: list[Part] = []
    for number, scope in enumerate(scopes):
        told.append(entries[number] if entries else id_)
        told.append(0 if scope.tokens is None else used - min(tokens, scope.tokens))
    return told
