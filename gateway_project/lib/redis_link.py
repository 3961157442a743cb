"""The asyncio client of Redis on the request path: one connection for each event loop, and no waiting for a lost one.

Commands that come in one turn of the loop leave in one write. A connection that breaks, or on which nothing is
answered for `PATIENCE` seconds, is given up: from then on every command fails at once with `RedisAway`, until the
connection that is tried for in the background is there. Threads without a loop use redis-py.
"""

import asyncio
import hashlib
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.conf import settings
from django.utils.crypto import salted_hmac

from gateway_project.lib import resp
from gateway_project.lib.redis_address import Address

logger = logging.getLogger(__name__)

# Seconds within which Redis has to say something when something was asked. A hanging Redis costs them once; a busy
# machine must not take one that is merely late for one that hangs, as limits are then not exact any more.
PATIENCE: Final = 0.5
# They are counted in ticks, so that a turn of the loop that took long is not taken for a silent Redis.
_TICKS: Final = 5
# Seconds to connect and be greeted, and between two tries of that: from the first to the longest.
CONNECT: Final = 2.0
PAUSES: Final = (0.05, 1.0)
# Bytes that may wait to be sent; beyond them Redis counts as away, as what is sent would wait for long.
HIGH_WATER: Final = 16 * 1024 * 1024

# What other installations in the same Redis do not share; the beginning of every key.
prefix: Final = f"llm-gateway:{salted_hmac('redis_link', '1', algorithm='sha256').hexdigest()[:16]}"

# Replies after which another connection may do better: it starts, it is no primary (any more), it wants a password.
_LEAVE: Final = frozenset({"LOADING", "READONLY", "MASTERDOWN", "NOAUTH"})


class RedisAway(Exception):
    """There is no Redis to ask now. What was asked may or may not have been done."""


class RedisRefused(RedisAway):
    """Redis answered with an error: out of memory, read-only, a script's mistake. `code` is its first word."""

    def __init__(self, reply: resp.ErrorReply) -> None:
        super().__init__(str(reply))
        self.code = reply.code


class Script:
    """A Lua script, sent by its digest. Redis runs it as a whole: nothing comes between its commands."""

    all: Final[list["Script"]] = []

    def __init__(self, text: str) -> None:
        self.text = text
        # Redis names a script so.
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()
        Script.all.append(self)

    def call(self, keys: Sequence[resp.Part], args: Sequence[resp.Part], *, whole: bool = False) -> bytes:
        """The command that runs it; `whole` sends its text, which Redis then keeps."""
        named = (b"EVAL", self.text) if whole else (b"EVALSHA", self.sha1)
        return resp.command((*named, len(keys), *keys, *args))


class _Unawaited:
    """A script that nobody waits for; sent again in whole when Redis does not know it."""

    __slots__ = ("args", "keys", "script")

    def __init__(self, script: Script, keys: Sequence[resp.Part], args: Sequence[resp.Part]) -> None:
        self.script, self.keys, self.args = script, keys, args


_Waiting = asyncio.Future[Any] | _Unawaited | None


class _Connection(asyncio.Protocol):
    """One connection: what was asked on it, in order, and what is to be sent."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.lost: asyncio.Future[str] = loop.create_future()
        self.choked = False
        self._replies = resp.Replies()
        self._waiting: deque[_Waiting] = deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._silent = self._buffered = 0
        # Refusals that were logged.
        self._told: set[str] = set()

    # --- Asking ----------------------------------------------------------------------------------

    def put(self, command: bytes, waiting: _Waiting = None) -> None:
        """Send `command` with the others of this turn of the loop; its reply goes to `waiting`."""
        if self.lost.done():
            if isinstance(waiting, asyncio.Future):
                waiting.set_exception(RedisAway(self.lost.result()))
            return
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self._unsent.append(command)
        self._waiting.append(waiting)
        if self._watch is None:
            self._silent = 0
            self._watch = self.loop.call_later(PATIENCE / _TICKS, self._tick)

    async def ask(self, command: bytes) -> Any:
        """The reply to `command`. Raises `RedisAway`, `RedisRefused`."""
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.put(command, answer)
        return await answer

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not self.transport.is_closing():
            self.transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _tick(self) -> None:
        """Give Redis up when it was silent for too many ticks while something was asked."""
        self._watch = None
        if not self._waiting:
            return
        buffered = self.transport.get_write_buffer_size()
        self._silent = 0 if buffered < self._buffered else self._silent + 1
        self._buffered = buffered
        if self._silent >= _TICKS:
            self.give_up(f"no answer within {PATIENCE} s")
        else:
            self._watch = self.loop.call_later(PATIENCE / _TICKS, self._tick)

    def give_up(self, reason: str) -> None:
        """Close it; whoever waits is told at once."""
        if not self.lost.done():
            self.lost.set_result(reason)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self.transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            if isinstance(one, asyncio.Future) and not one.done():
                one.set_exception(RedisAway(reason))

    # --- Being answered --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is none of asyncio's classes
        self.transport.set_write_buffer_limits(HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        try:
            for reply in self._replies.feed(data):
                if not self._waiting:
                    self.give_up("it says more than it was asked")
                    return
                self._hand_on(reply, self._waiting.popleft())
        except resp.NotRedis as error:
            self.give_up(str(error))

    def _hand_on(self, reply: Any, waiting: _Waiting) -> None:
        if type(reply) is not resp.ErrorReply:
            if isinstance(waiting, asyncio.Future) and not waiting.done():
                waiting.set_result(reply)
            return
        if isinstance(waiting, asyncio.Future):
            if not waiting.done():
                waiting.set_exception(RedisRefused(reply))
        elif waiting is not None and reply.code == "NOSCRIPT":
            self.put(waiting.script.call(waiting.keys, waiting.args, whole=True))
        elif reply.code not in self._told:  # each request may say so
            self._told.add(reply.code)
            logger.warning("Redis refused what nobody waits for: %s", reply.code)
        if reply.code in _LEAVE:
            self.give_up(reply.code)

    def pause_writing(self) -> None:
        self.choked = True

    def resume_writing(self) -> None:
        self.choked = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(type(exc).__name__ if exc else "it closed the connection")


class _Loop:
    """One event loop's connection: made at the first use, and made anew for as long as the loop runs."""

    def __init__(self, link: "RedisLink") -> None:
        self._link = link
        self.loop = asyncio.get_running_loop()
        # None while there is none that greeted.
        self.connection: _Connection | None = None
        # Whoever comes first waits for the first try, as nobody knows yet whether Redis is there.
        self._first = asyncio.Event()
        self._keeper = self.loop.create_task(self._keep(), name="redis link")

    async def found(self) -> _Connection:
        """The connection. Raises `RedisAway`."""
        if self.connection is None and not self._first.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._first.wait()
            except TimeoutError:
                self._first.set()
        connection = self.connection
        if connection is None or connection.choked:
            raise RedisAway("Redis is away")
        return connection

    async def _keep(self) -> None:
        """Hold a connection until the loop ends."""
        pause = PAUSES[0]
        while True:
            try:
                connection = await self._connect()
            except (RedisAway, OSError, TimeoutError) as error:
                self._link.is_away(error.code if isinstance(error, RedisRefused) else type(error).__name__)
                self._first.set()
                # Not all processes at once, nor all at the same moment after a restart.
                await asyncio.sleep(pause * random.uniform(0.75, 1))  # noqa: S311
                pause = min(pause * 2, PAUSES[1])
                continue
            pause = PAUSES[0]
            self.connection = connection
            try:
                self._link.is_there()
                self._first.set()
                reason = await connection.lost
            finally:
                self.connection = None
                connection.give_up("it is closed")
            self._link.is_away(reason)

    async def _connect(self) -> _Connection:
        """A connection that greeted and knows the scripts. Raises `RedisAway`, `OSError`, `TimeoutError`."""
        async with asyncio.timeout(CONNECT):
            connection = await self._link.address.dial(self.loop, lambda: _Connection(self.loop))
            try:
                for command in self._link.address.greeting():
                    await connection.ask(resp.command(command))
                for script in Script.all:
                    await connection.ask(resp.command((b"SCRIPT", b"LOAD", script.text)))
            except BaseException:
                connection.give_up("it did not greet")
                raise
            return connection

    async def close(self) -> None:
        self._keeper.cancel()
        await asyncio.wait([self._keeper])


class RedisLink:
    """The Redis at `url`, as redis-py reads it (`redis://`, `rediss://`, `unix://`). For use in event loops."""

    def __init__(self, url: str) -> None:
        self.address = Address(url)
        # Grows with every connection that is made: who keeps something in Redis looks then whether it is still there.
        self.epoch = 0
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._away = False
        self._lock = threading.Lock()

    @property
    def connected(self) -> bool:
        """Whether commands are answered now, as far as is known. To be asked in any thread."""
        return any(held.connection is not None for held in list(self._loops.values()))

    @property
    def away(self) -> bool:
        """Whether it was tried and found away. To be asked in any thread."""
        return self._away

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the event loop, whenever a connection was made, before anything else uses it."""
        self._callbacks.append(callback)

    def open(self) -> None:
        """Begin to connect, so that the first command need not wait."""
        self._here()

    async def run(self, script: Script, keys: Sequence[resp.Part], args: Sequence[resp.Part]) -> Any:
        """What `script` returns. Raises `RedisAway` within `PATIENCE` seconds, and at once while Redis is away."""
        connection = await self._here().found()
        try:
            return await connection.ask(script.call(keys, args))
        except RedisRefused as error:
            if error.code != "NOSCRIPT":
                raise
        return await connection.ask(script.call(keys, args, whole=True))

    async def call(self, *command: resp.Part) -> Any:
        """The reply to a command. Raises as `run`."""
        return await (await self._here().found()).ask(resp.command(command))

    def send(self, *command: resp.Part) -> None:
        """Send a command without waiting for its reply, in order with the others; lost while Redis is away."""
        connection = self._here().connection
        if connection is not None and not connection.choked:
            connection.put(resp.command(command))

    def send_script(self, script: Script, keys: Sequence[resp.Part], args: Sequence[resp.Part]) -> None:
        """Run a script as `send` sends a command. One that Redis forgot runs after what was sent meanwhile."""
        connection = self._here().connection
        if connection is not None and not connection.choked:
            connection.put(script.call(keys, args), _Unawaited(script, keys, args))

    async def close(self) -> None:
        """Close this event loop's connection, at the end of a test or a process."""
        held = self._loops.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.close()

    def _here(self) -> _Loop:
        loop = asyncio.get_running_loop()
        held = self._loops.get(loop)
        if held is None:
            for ended in [known for known in self._loops if known.is_closed()]:
                del self._loops[ended]
            held = self._loops[loop] = _Loop(self)
        return held

    def is_there(self) -> None:
        """A connection was made."""
        with self._lock:
            self.epoch += 1
            if self._away:
                logger.info("Redis is back")
            self._away = False
        for callback in self._callbacks:
            try:
                callback()
            except Exception:  # the connection is held for others, too
                logger.exception("what was to be done when Redis is there failed")

    def is_away(self, reason: str) -> None:
        """A connection was lost, or could not be made. Said once; the URL may hold a password, so it is not."""
        with self._lock:
            if not self._away:
                logger.warning("Redis is away (%s); it is tried again in the background", reason)
            self._away = True


current: RedisLink | None = RedisLink(settings.REDIS_URL) if settings.REDIS_URL else None
