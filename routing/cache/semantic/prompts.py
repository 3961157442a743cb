"""Which requests use the semantic cache, and what of them must be equal: all but the last user turn's text."""

import re
import unicodedata
from typing import Any

from routing.cache.keys import scope_of
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.snapshot import WorkspaceTargets

# Characters of a prompt. Of a longer one a vector says too little: half a page may differ and leave it as it is.
LONGEST = 2000
# What no sentence has: the gates look for code, which takes time by the square of it.
_ENDLESS = re.compile(r"[\w.\[\]()/-]{256}")


def prompt_of(exchange: Exchange) -> str:
    """The text that may differ: the last message, of a user, if it is text alone; "" where there is none."""
    if exchange.endpoint.path != CHAT.path or exchange.policy.cache_semantic is None:
        return ""
    last = exchange.body["messages"][-1]
    if last.get("role") != "user":
        return ""
    text = _text(last.get("content"))
    return text if text.strip() and _can_be_compared(text) else ""


def _can_be_compared(text: str) -> bool:
    """Whether the gates read it in a few milliseconds. Some characters are up to eighteen when they are normalised."""
    if len(text) > LONGEST or (not text.isascii() and len(unicodedata.normalize("NFKC", text)) > LONGEST):
        return False
    return _ENDLESS.search(text) is None


def scope(exchange: Exchange, view: WorkspaceTargets) -> bytes | None:
    """A digest of what has to be equal. None for a body that is nested too deeply. Raises `PermissionDenied`."""
    messages = exchange.body["messages"]
    last = {**messages[-1], "content": None}
    return scope_of(exchange, view, {**exchange.body, "messages": [*messages[:-1], last]})


def searches_documents(exchange: Exchange) -> bool:
    """Whether its answer quotes documents, which are found by every word of it."""
    asked = exchange.wishes.rag, exchange.policy.rag, exchange.grounding
    return any(each is not None for each in asked)


def _text(content: Any) -> str:
    """What a message says; "" where it is more than text."""
    if type(content) is str:
        return content
    if type(content) is not list or not content:
        return ""
    texts = [part.get("text") if type(part) is dict and part.get("type") == "text" else None for part in content]
    return "\n".join(texts) if all(type(text) is str for text in texts) else ""  # type: ignore[arg-type]
