"""What posts a message. Who does is registered at start: `keys` has no client for addresses that users name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Posted:
    """How a message fared: the receiver's status (None: it gave none), why it did not arrive ("": it did), and how
    many milliseconds it took.
    """

    status: int | None
    error: str
    ms: int

    @property
    def ok(self) -> bool:
        return not self.error


# (url, headers, body, seconds) → how it fared. Raises nothing that the receiver could cause.
Poster = Callable[[str, Mapping[str, str], bytes, float], Posted]

_poster: Poster | None = None


def register_poster(poster: Poster) -> None:
    """Have `poster` send messages. It connects only where `gateway_project.lib.net` allows, and follows no redirect."""
    global _poster
    _poster = poster


def post(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Posted:
    """Send a message. Raises `RuntimeError` when nobody can."""
    if _poster is None:
        raise RuntimeError("no poster is registered; routing/apps.py does that")
    return _poster(url, headers, body, seconds)
