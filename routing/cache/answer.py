"""An answer that is kept: its bytes as the upstream sent them, and what the ledger says of whoever is given it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from typing import Any

import orjson

from analytics.usage import Usage

# What an answer takes in memory beside its bytes.
OVERHEAD = 1024


class Unreadable(Exception):
    """What was stored is no answer of this version."""


@dataclass(slots=True)
class KeptAnswer:
    """`body` is a whole answer's JSON, or with `streamed` all events of a stream, usage and `[DONE]` included.

    `cost` is in picodollars: what the answer cost when it was made. `expires_at` is Unix time.

    Nobody changes one. (`frozen` would make it three times as dear to make, as would naming its fields, and each miss
    makes one.)
    """

    workspace_id: str
    # Whose request it was made for, what that asked for and by which policy: what a purge names.
    key_id: str
    requested_model: str
    policy_id: str
    policy: str
    # Who made it.
    provider_id: str
    provider: str
    model: str
    complexity: str
    score: float
    task: str
    usage: Usage
    cost: int
    expires_at: float
    streamed: bool
    # Whether it calls a tool, and so is given to who asks for the cache alone.
    calls_tool: bool
    body: bytes = field(repr=False)
    # The documents that it was made from.
    documents: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.body) + OVERHEAD

    def to_bytes(self) -> bytes:
        """For a store outside of the process; `from_bytes` undoes it."""
        head = {name: getattr(self, name) for name in _HEAD}
        usage = asdict(self.usage)
        if self.usage.reported_cost is not None:
            usage["reported_cost"] = str(self.usage.reported_cost)
        written = orjson.dumps(head | {"usage": usage})
        return len(written).to_bytes(4, "big") + written + self.body

    @classmethod
    def from_bytes(cls, stored: bytes) -> "KeptAnswer":
        """Raises `Unreadable`."""
        end = 4 + int.from_bytes(stored[:4], "big")
        try:
            head = orjson.loads(stored[4:end])
            head["usage"] = _usage(head["usage"])
            head["documents"] = tuple(head["documents"])
            return cls(**head, body=stored[end:])
        except (orjson.JSONDecodeError, ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"not an answer: {type(error).__name__}") from None


_HEAD = tuple(each.name for each in fields(KeptAnswer) if each.name not in ("usage", "body"))


def _usage(stored: Mapping[str, Any]) -> Usage:
    usage = Usage(**stored)
    if usage.reported_cost is not None:
        usage.reported_cost = Decimal(usage.reported_cost)
    return usage
