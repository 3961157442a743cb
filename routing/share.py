"""Small news between the processes of one installation, through Redis where there is one: `publish` and `on`.

One thread in each process sends and receives; a request only appends to a list. What is sent may be lost, and is
when Redis is away: nothing here may be needed for a right answer.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.utils.crypto import salted_hmac

from gateway_project.lib.ids import uuid7_text

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

Handler = Callable[[str, Any], None]

# Seconds between two looks at what is to be sent, and between two calls of those who gather something to send.
TICK, GATHER_EVERY = 0.2, 1.0
# Seconds after which a lost Redis is tried again, and within which it has to answer.
RETRY_AFTER, PATIENCE = 1.0, 3.0
# Seconds between two messages to oneself, and after which their absence means that the connection broke in silence.
HEARTBEAT, DEAF = 5.0, 15.0
# News that may wait to be sent, and be sent in one message.
LONGEST_QUEUE, LONGEST_MESSAGE = 10_000, 500


class Channel(threading.Thread):
    """The thread. `process` is this process's name among the others."""

    def __init__(self, url: str) -> None:
        super().__init__(name="share", daemon=True)
        self.process = uuid7_text()
        self._url = url
        # Several installations may use one Redis.
        self._name = f"llm-gateway:{salted_hmac('routing.share', '1', algorithm='sha256').hexdigest()[:16]}"
        self._unsent: deque[tuple[str, Any]] = deque(maxlen=LONGEST_QUEUE)
        self._handlers: dict[str, Handler] = {}
        self._gatherers: list[Callable[[], None]] = []
        self._stopping = threading.Event()
        self._warned: set[str] = set()
        self._away = False
        self.connected = threading.Event()

    def publish(self, kind: str, payload: Any) -> None:
        """Tell the other processes; `payload` is JSON. Does not wait."""
        self._unsent.append((kind, payload))

    def on(self, kind: str, handler: Handler) -> None:
        """Have `handler(process, payload)` called, in this thread, with what others publish of that kind."""
        self._handlers[kind] = handler

    def every_second(self, gatherer: Callable[[], None]) -> None:
        """Have `gatherer` called, in this thread, about once a second while Redis is there."""
        self._gatherers.append(gatherer)

    def stop(self) -> None:
        """End the thread, within `PATIENCE` seconds or so."""
        self._stopping.set()
        self.join(2 * PATIENCE)

    def run(self) -> None:
        import redis  # 5 MB, where there is no Redis

        while not self._stopping.is_set():
            try:
                self._follow()
            except (redis.RedisError, OSError) as error:
                self.connected.clear()
                if not self._away:  # once; its URL may hold a password
                    logger.warning(
                        "Redis is away (%s): processes learn of each other when it is back", type(error).__name__
                    )
                self._away = True
                self._stopping.wait(RETRY_AFTER)

    def _follow(self) -> None:
        import redis

        with (
            redis.Redis.from_url(self._url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE) as client,
            client.pubsub(ignore_subscribe_messages=True) as news,
        ):
            news.subscribe(self._name)
            client.ping()
            if self._away:
                logger.info("Redis is back")
                self._away = False
            self._unsent.clear()  # what was meant for then is no news now
            self.connected.set()
            heard_at = time.monotonic()
            gather_at = beat_at = 0.0
            while not self._stopping.is_set():
                message = news.get_message(timeout=TICK)
                now = time.monotonic()
                while message is not None:
                    heard_at = now
                    self._receive(message["data"])
                    message = news.get_message(timeout=0)
                if now - heard_at > DEAF:
                    raise redis.ConnectionError("nothing is heard, not even what was sent from here")
                if now >= beat_at:
                    beat_at = now + HEARTBEAT
                    self._unsent.append(("", None))
                if now >= gather_at:
                    gather_at = now + GATHER_EVERY
                    for gatherer in self._gatherers:
                        gatherer()
                self._send(client)

    def _send(self, client: "redis.Redis") -> None:
        while self._unsent:
            count = min(len(self._unsent), LONGEST_MESSAGE)
            client.publish(self._name, orjson.dumps([self.process, [self._unsent.popleft() for _ in range(count)]]))

    def _receive(self, data: bytes) -> None:
        try:
            process, news = orjson.loads(data)
            if process == self.process:
                return
            for kind, payload in news:
                handler = self._handlers.get(kind)
                if handler is not None:
                    handler(process, payload)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # Another version's, or a stranger's. Once of each sort: it may come often.
            if type(error).__name__ not in self._warned:
                self._warned.add(type(error).__name__)
                logger.warning("news of another process is not understood: %s", type(error).__name__)


current = Channel(settings.REDIS_URL) if settings.REDIS_URL else None


def publish(kind: str, payload: Any) -> None:
    """Tell the other processes; without Redis there are none to tell. Does not wait."""
    if current is not None:
        current.publish(kind, payload)


def on(kind: str, handler: Handler) -> None:
    """Have `handler(process, payload)` called, in a thread of its own, with what others publish of that kind."""
    if current is not None:
        current.on(kind, handler)


def start() -> None:
    """Begin, where there is a Redis. To be called once, after every `on`."""
    if current is not None:
        current.start()
