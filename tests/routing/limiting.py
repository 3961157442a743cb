"""Requests for the tests of limits, and what came of them."""

from dataclasses import dataclass
from typing import Any

from gateway_project.lib.errors import RateLimitExceeded
from keys.limits import Kind, Scope
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.limits import LocalLimits, Permit, SharedLimits
from tests.routing.stage import caller_of


def scope(kind: Kind = "key", id_: str = "1", **limits: Any) -> Scope:
    return Scope(kind=kind, id=id_, ref=f"{kind}:{id_}", name=f"the {kind}", **limits)


def exchange_of(*scopes: Scope, stream: bool = False, max_tokens: int | None = None, length: int = 0) -> Exchange:
    """A request of a key that has these scopes; it reserves `length / 4 + 1 + max_tokens` tokens."""
    body = {} if max_tokens is None else {"max_tokens": max_tokens}
    return Exchange(CHAT, caller=caller_of(limits=scopes, rates=scopes), stream=stream, body=body, length=length)


@dataclass
class Asked:
    """What came of one request."""

    exchange: Exchange
    permit: Permit | None = None
    error: RateLimitExceeded | None = None

    @property
    def admitted(self) -> bool:
        return self.error is None

    @property
    def retry_after(self) -> int:
        assert self.error is not None
        return int(self.error.headers["retry-after"])

    @property
    def shown(self) -> tuple[int, int, int]:
        """Limit, remaining and reset of the headers."""
        assert self.exchange.standing is not None
        limit, remaining, reset = (int(value) for _, value in self.exchange.standing.headers())
        return limit, remaining, reset

    def settle(self, tokens: int = 0) -> None:
        if self.permit is not None:
            self.permit.settle(tokens)


async def ask(limits: LocalLimits | SharedLimits, *scopes: Scope, **request: Any) -> Asked:
    exchange = exchange_of(*scopes, **request)
    try:
        return Asked(exchange, await limits.admit(exchange))
    except RateLimitExceeded as error:
        return Asked(exchange, error=error)
