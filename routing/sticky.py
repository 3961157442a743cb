"""Conversations stay on their model: to switch would throw away the prompt cache that its provider keeps of them.

A conversation is known by its key's id and its first messages, up to the user's first one: what comes later only adds
to them. Whoever answered it last is remembered here, in this process; other processes are told over Redis where there
is one. What is forgotten or not yet heard costs a prompt cache, never a right answer.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from routing import share
from routing.exchange import Exchange
from routing.policies import COMPLEXITIES
from routing.target_state import Key

# Providers keep a prompt's cache for minutes, some for an hour.
TTL = 3600.0
# Conversations that had a second turn, and requests that may become one: the many that are asked once push none out.
MANY = 10_000
# Seconds after which other processes are told again that a conversation goes on.
TELL_AGAIN = 600.0
NEWS = "conversation"

# A conversation's, in all processes or in this one.
Name = str | int

# Of a long message its length and both ends tell enough: whoever shares all three with another shares its cache, too.
END = 500
# Of a message of parts, as many are looked at.
MOST_PARTS = 16


@dataclass(slots=True)
class Held:
    """Which target a conversation is on, of which complexity it was when that was chosen, and by which policy."""

    key: Key
    name: str
    tier: int
    policy: tuple[str, int]
    until: float
    told_at: float

    def follows(self, before: "Held | None") -> bool:
        """Take over what still holds of the turn `before`. Whether the other processes are to be told of this one."""
        if before is None or before.key != self.key or before.policy != self.policy:
            return True
        # A simple question in between does not make the next hard one a reason to choose anew.
        harder = self.tier > before.tier
        if not harder:
            self.tier = before.tier
        if harder or self.told_at - before.told_at >= TELL_AGAIN:
            return True
        self.told_at = before.told_at
        return False


class Conversations:
    """The conversations of this process. `clock` gives seconds that only grow.

    `tell` is given what other processes hear; without it there are none, and a name needs to hold in this one alone.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str, Any], None] | None = share.publish if share.current is not None else None,
        most: int = MANY,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._name: Callable[[Exchange], Name] = nickname if tell is None else conversation
        self._most = most
        # The event loop's thread and the one that hears from other processes.
        self._lock = threading.Lock()
        self._begun: OrderedDict[Name, Held] = OrderedDict()
        self._going: OrderedDict[Name, Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._begun) + len(self._going)

    def held(self, exchange: Exchange) -> Held | None:
        """The target that `exchange` should stay on: None for a first turn, and where there is a reason to choose anew.

        Reasons are a policy that changed and a complexity above that of the choice. Changes nothing.
        """
        label = exchange.label
        if label is None or not _goes_on(exchange):
            return None
        name = self._name(exchange)
        found = self._going.get(name) or self._begun.get(name)
        if found is None or found.until < self._clock() or found.policy != _version(exchange):
            return None
        return found if COMPLEXITIES.index(label.complexity) <= found.tier else None

    def keep(self, exchange: Exchange) -> None:
        """`exchange` was answered by its target: its next turn should be, too."""
        target, label = exchange.target, exchange.label
        if target is None or label is None or not _has_turns(exchange):
            return
        now = self._clock()
        name = self._name(exchange)
        held = Held(target.key, target.id, COMPLEXITIES.index(label.complexity), _version(exchange), now + TTL, now)
        with self._lock:
            # Taken out, so that it is put in as the latest.
            before = self._going.pop(name, None) or self._begun.pop(name, None)
            news = held.follows(before)
            self._put(self._begun if before is None else self._going, name, held)
        if news and self._tell is not None:
            self._tell(NEWS, [name, *held.key, held.name, held.tier, *held.policy])

    def hear(self, process: str, news: Any) -> None:
        """Another process answered a turn of a conversation."""
        name, provider_id, model, target, tier, policy_id, version = news
        now = self._clock()
        held = Held((provider_id, model), target, int(tier), (policy_id, int(version)), now + TTL, now)
        with self._lock:
            going = (self._going.pop(name, None) or self._begun.pop(name, None)) is not None
            self._put(self._going if going else self._begun, name, held)

    def _put(self, shelf: "OrderedDict[Name, Held]", name: Name, held: Held) -> None:
        shelf[name] = held
        if len(shelf) > self._most:
            shelf.popitem(last=False)


def _has_turns(exchange: Exchange) -> bool:
    """Whether `messages` is the request's content, and so was checked; elsewhere it is any unknown field."""
    return exchange.endpoint.content == "messages"


def _goes_on(exchange: Exchange) -> bool:
    """Whether somebody has answered in it."""
    if _has_turns(exchange):
        for message in exchange.body["messages"]:
            if message["role"] == "assistant":
                return True
    return False


def conversation(exchange: Exchange) -> str:
    """The name of the conversation that `exchange` is a turn of, the same in every process. It tells nothing of it."""
    return hashlib.blake2b("\0".join(_gist(exchange)).encode("utf-8", "replace"), digest_size=16).hexdigest()


def nickname(exchange: Exchange) -> int:
    """Its name in this process alone, at a fraction of the cost."""
    return hash(tuple(_gist(exchange)))


def _gist(exchange: Exchange) -> list[str]:
    """What tells a conversation from others."""
    caller = exchange.caller
    said = [caller.id if caller is not None else ""]
    for message in exchange.body["messages"]:
        role = message["role"]
        said.append(role)
        content = message.get("content")
        if type(content) is str:
            said.append(_ends(content))
        elif type(content) is list:
            said += [_part(part) for part in content[:MOST_PARTS]]
        if role == "user":
            break
    return said


def _ends(text: str) -> str:
    return text if len(text) <= 2 * END else f"{len(text)} {text[:END]}{text[-END:]}"


def _part(part: Any) -> str:
    """What tells a part of a message from another: its text, or the place or the bytes of its image."""
    if type(part) is not dict:
        return ""
    text = part.get("text")
    if type(text) is str:
        return _ends(text)
    image = part.get("image_url")
    url = image.get("url") if type(image) is dict else image
    return _ends(url) if type(url) is str else str(part.get("type"))


def _version(exchange: Exchange) -> tuple[str, int]:
    return (exchange.policy.id, exchange.policy.version)


current = Conversations()
share.on(NEWS, current.hear)
