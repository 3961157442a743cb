"""What came of asking for a place: where the caller stands, what is held until the request ends, or the refusal."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal, Protocol

from gateway_project.lib.errors import RateLimitExceeded
from keys.limits import Scope

Unit = Literal["requests", "tokens", "streams"]
UNITS: tuple[Unit, ...] = ("requests", "tokens", "streams")

# Seconds after which a stream that was refused may be tried again: nobody knows when another one ends.
STREAM_RETRY = 1


@dataclass(slots=True)
class Standing:
    """Where a caller stands with its tightest limit of requests. `reset`: seconds until all of it is there again."""

    limit: int
    remaining: int
    reset: float

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """As the contract names them, in whole seconds."""
        limit, reset = _steady(self.limit, self.reset)
        return limit, (b"x-ratelimit-remaining-requests", b"%d" % self.remaining), reset


@functools.lru_cache(maxsize=1024)
def _steady(limit: int, reset: float) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a limit and of its reset: for nearly all of a limit's requests the same, a whole window."""
    return (b"x-ratelimit-limit-requests", b"%d" % limit), (b"x-ratelimit-reset-requests", b"%d" % _ceil(reset))


def tighter(one: Standing | None, other: Standing) -> Standing:
    """The one that will be in the way first."""
    if one is not None and (one.remaining, -one.reset) <= (other.remaining, -other.reset):
        return one
    return other


def whole(seconds: float) -> int:
    """The whole seconds to wait when something is in the way for `seconds`."""
    return max(1, _ceil(seconds))


def _ceil(seconds: float) -> int:
    """Up to the next whole second; but not for a rounding error of the clock's arithmetic."""
    return ceil(seconds - 1e-6)


class Permit(Protocol):
    """What a request holds until it is settled: a stream's slots, and tokens that were reserved by estimate."""

    def settle(self, tokens: int) -> None:
        """It used so many tokens, and its stream has ended."""
        ...


@dataclass(slots=True)
class PermitWith:
    """A `Permit` by what gives it back."""

    give_back: Callable[[int], None]

    def settle(self, tokens: int) -> None:
        """It used so many tokens, and its stream has ended."""
        self.give_back(tokens)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit is in the way, and for how many seconds."""

    scope: Scope
    unit: Unit
    wait: float

    def error(self) -> RateLimitExceeded:
        """What the caller is told."""
        scope, unit = self.scope, self.unit
        limit: int = getattr(scope, unit)
        who = {
            "key": f"This gateway key ('{scope.name}')",
            "user": "All keys of the member who made this one together",
            "workspace": f"All keys of the workspace '{scope.name}' together",
        }[scope.kind]
        seconds = STREAM_RETRY if unit == "streams" else whole(self.wait)
        what = f"{limit} {unit if limit != 1 else unit[:-1]}"
        allowed = (
            f"may have {what} running at a time"
            if unit == "streams"
            else f"may {'make' if unit == 'requests' else 'use'} {what} in any {scope.window} seconds"
        )
        again = f"try again in {seconds} second{'' if seconds == 1 else 's'}"
        told = {"scope": scope.kind, "unit": unit, "limit": limit}
        return RateLimitExceeded(
            f"{who} {allowed}; {again}.",
            headers={"retry-after": str(seconds)},
            details=told if unit == "streams" else told | {"window": scope.window},
        )
