"""Who asks the same again was not content with the answer.

A client's same prompt within two minutes is counted against the model that answered it before. Programs that repeat
themselves (load tests, probes, several samples of one prompt) are told apart: their requests overlap, or come again
and again, so a prompt counts once for as long as it keeps coming. Known to this process alone.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from routing.exchange import Exchange

# Seconds.
WINDOW = 120.0
# Prompts remembered, some 200 bytes each; the one that was not seen for longest is forgotten first.
MOST = 10_000
# Of a long text its length and so many characters of both ends are compared; of many messages, and of a message's many
# parts, so many of the first and last.
ENDS = 400
FIRST, LAST = 2, 6


@dataclass(slots=True)
class Answered:
    """Who answered a prompt last, and when (`time.perf_counter`)."""

    at: float
    model: str
    complexity: str
    # It had come before, so its coming again says nothing.
    repeats: bool


class Prompts:
    """The prompts answered lately. For one thread: the event loop's."""

    def __init__(self, most: int = MOST) -> None:
        self._answered: OrderedDict[int, Answered] = OrderedDict()
        self._most = most

    def answered(self, exchange: Exchange) -> Answered | None:
        """Remember who answered `exchange`; what it is a retry of, if it is one."""
        if exchange.target is None or exchange.label is None:
            return None
        prompt = fingerprint(exchange)
        # Taken out and put in again, so that the order is that of the last answers.
        before = self._answered.pop(prompt, None)
        if before is not None and exchange.started - before.at > WINDOW:
            before = None
        self._answered[prompt] = Answered(
            time.perf_counter(), exchange.target.model, exchange.label.complexity, before is not None
        )
        if len(self._answered) > self._most:
            self._answered.popitem(last=False)
        if before is None or before.repeats or before.at > exchange.started:
            return None
        return before


def fingerprint(exchange: Exchange) -> int:
    """A hash of who asks which model what. Cheap, also for long prompts; it means nothing in another process."""
    content = exchange.body.get(exchange.endpoint.content)
    messages = content if type(content) is list else [content]
    gist: list[Any] = [exchange.caller.id if exchange.caller else "", exchange.model, len(messages)]
    for message in _some(messages):
        said = message.get("content") if type(message) is dict else message
        if type(said) is str:
            if len(said) <= 2 * ENDS:
                gist.append(said)
            else:
                gist += _ends(said)
        elif type(said) is list:
            gist.append(len(said))
            for part in _some(said):
                gist += _ends(_words(part))
    return hash(tuple(gist))


def _some(parts: list[Any]) -> list[Any]:
    return parts if len(parts) <= FIRST + LAST else parts[:FIRST] + parts[-LAST:]


def _words(part: Any) -> str:
    """What a part of a message says, or where its image is; a token is its number."""
    while type(part) is dict:
        part = part.get("text") or part.get("image_url") or part.get("url")
    return part if type(part) is str else str(part) if type(part) is int else ""


def _ends(text: str) -> tuple[Any, ...]:
    return (text,) if len(text) <= 2 * ENDS else (len(text), text[:ENDS], text[-ENDS:])


recent = Prompts()
