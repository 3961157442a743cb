"""What a layer of the cache is, behind the process's memory; they are asked in their order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from routing.cache.answer import KeptAnswer
from routing.cache.broadcast import Broadcast
from routing.cache.collapse import Run
from routing.exchange import Exchange
from routing.snapshot import WorkspaceTargets

if TYPE_CHECKING:
    from routing.cache.semantic.layer import Meaning


@dataclass(slots=True)
class Search:
    """A request's way through the cache."""

    key: bytes
    workspace_id: str
    policy_id: str
    # Whether its answer must not leave this process.
    strict: bool
    # When it began (`time.monotonic`): what is purged later must not be kept.
    began: float
    # The workspace's targets, which belong to what must be equal.
    view: WorkspaceTargets | None = None
    # What others wait for, if this request asks for them, too.
    run: Run | None = None
    # The stream that others may listen to, and what the answer cost, in picodollars.
    broadcast: Broadcast | None = None
    cost: int = 0
    # What the semantic layer found out, for the answer that is to be kept.
    meaning: "Meaning | None" = None
    # To be told when the answer that a layer had is given.
    on_given: Callable[[Exchange], None] | None = None


class Layer(Protocol):
    """`name` is its label in the metrics, `state` what `x-gateway-cache` and the ledger say of its hits."""

    name: str
    state: str

    def applies(self, exchange: Exchange, search: Search) -> bool:
        """Whether `exchange` is looked for here at all: a request that is not is no miss."""
        ...

    async def look(self, exchange: Exchange, search: Search) -> KeptAnswer | None:
        """An answer to `exchange`, or None; raises nothing of its own."""
        ...

    def keep(self, exchange: Exchange, search: Search, answer: KeptAnswer) -> None:
        """Keep the answer that was made for `exchange`. Does not wait, and raises nothing of its own."""
        ...
