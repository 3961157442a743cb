"""One request on its way through the pipeline: what came in, what was decided, what came of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from analytics.usage import Usage
from gateway_project.lib.ids import uuid7_text
from routing.decision import Decision
from routing.endpoints import Endpoint
from routing.features import Features
from routing.flight import Flight
from routing.policies import DEFAULT, PolicyFacts
from routing.providers.base import Target
from routing.snapshot import Caller

if TYPE_CHECKING:
    from routing.budgets.hold import Hold
    from routing.cache.layer import Search
    from routing.grounding.sources import Grounding
    from routing.grounding.wish import RagWish
    from routing.idempotency import Claim
    from routing.limits.permit import Permit, Standing


# Bytes of a stream that are kept while it passes.
KEPT = 1024 * 1024


@dataclass(slots=True)
class Attempt:
    """One try at one target."""

    target: Target
    started: float
    ms: int = 0
    status: int | None = None
    error: str = ""
    failure: str = ""
    cancelled: bool = False
    # What it used and cost in USD although its answer was not taken: it lost a race against a second target, or took
    # too long. What the answer that was taken used is the exchange's.
    usage: Usage | None = None
    cost: Decimal = Decimal(0)

    def summary(self) -> dict[str, Any]:
        """What the ledger, and the caller of a failed request, are told of it."""
        told = {
            "provider": self.target.provider,
            "model": self.target.model,
            "status": self.status,
            "error": self.error,
            "ms": self.ms,
        }
        if self.usage is not None:
            told["prompt_tokens"], told["completion_tokens"] = self.usage.prompt, self.usage.completion
            told["usage_estimated"], told["cost_usd"] = self.usage.estimated, f"{self.cost:f}"
        return told


@dataclass(frozen=True, slots=True)
class Wishes:
    """The gateway's own fields of a request, taken out of the body or the headers. Never sent upstream."""

    privacy_mode: str = ""
    sensitivity: str = ""
    task: str = ""
    complexity: str = ""
    cache: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    # The library to answer from.
    rag: "RagWish | None" = None


NO_WISHES = Wishes()


@dataclass(slots=True)
class Label:
    """What the classifier found: how hard the request is, of which kind, how large."""

    complexity: str
    score: float
    task: str
    prompt_tokens: int
    # What was measured, for explain.
    features: Features | None = None


class Exchange:
    """The state of one request. `pipeline.run` fills it from top to bottom; `settle` enters it in the ledger.

    Each request makes one, so this is no dataclass, which would take twice as long. `known` are attributes to begin
    with.
    """

    __slots__ = (
        "_written", "answer", "arrived", "attempts", "body", "cache_state", "caller", "claim",
        "client_request_id", "cost", "decision", "endpoint", "error", "error_code", "first_block", "first_byte",
        "flight", "from_cache", "grounding", "hold", "id", "keeps_all", "label", "length", "model",
        "passed_over", "permit", "policy", "replay_of", "replayed_from", "saved", "search", "settled",
        "standing", "started", "status", "stream", "streamed", "target", "upstream_seconds", "usage",
        "usage_wanted", "whole", "wishes",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, **known: Any) -> None:
        self.endpoint = endpoint
        self.id = uuid7_text()
        self.arrived = time.time()
        self.started = time.perf_counter()
        self.client_request_id = ""

        self.caller: Caller | None = None
        self.model = ""
        self.stream = False
        self.usage_wanted = False
        # Of the request's body as it came, in bytes.
        self.length = 0
        self.body: dict[str, Any] = {}
        # What `written` made, and of which body.
        self._written: tuple[dict[str, Any], bytes] | None = None
        self.wishes = NO_WISHES
        self.label: Label | None = None
        self.policy: PolicyFacts = DEFAULT
        # On its idempotency key, where it carries one.
        self.claim: Claim | None = None
        # The id of the request whose answer that key already had.
        self.replay_of = ""
        # Who that answer was of, with its locality: a provider that may be gone.
        self.replayed_from: tuple[str, str, str] = ("", "", "")
        # What it holds of the limits of its caller's scopes until it is settled, and where the caller stands with them.
        self.permit: Permit | None = None
        self.standing: Standing | None = None
        # The passages of documents that it is answered from.
        self.grounding: Grounding | None = None
        self.decision: Decision | None = None
        # What is reserved of the budgets that hold for it; None where none does, or nobody is to be asked.
        self.hold: Hold | None = None
        self.attempts: list[Attempt] = []
        # Targets that were not asked although it was their turn, each with why.
        self.passed_over: list[Attempt] = []
        self.target: Target | None = None
        # The attempt whose answer was taken, until its end.
        self.flight: Flight | None = None
        # What came of the attempt that succeeded: a whole answer's JSON, or a stream's first block.
        self.answer: dict[str, Any] = {}
        self.first_block = b""
        # A whole answer's bytes.
        self.whole = b""
        # A stream's blocks as far as `meter` keeps them; they grow as it passes.
        self.streamed: list[bytes] = []
        # Whether all of it is kept, as others listen to it, too.
        self.keeps_all = False

        # Its search in the cache, and what came of it: "off" without one, "miss", "hit", or a further layer's word.
        self.search: Search | None = None
        self.cache_state = "off"
        # Whether nobody was asked, as the cache had an answer.
        self.from_cache = False
        # What the answer cost when it was made, for who is given it from the cache, in picodollars.
        self.saved = 0

        # Seconds spent waiting for upstreams, so that the rest is the gateway's own.
        self.upstream_seconds = 0.0
        self.first_byte: float | None = None
        self.usage: Usage | None = None
        self.status = 0
        self.error_code = ""
        self.error = ""
        self.cost = "0"
        self.settled = False

        for name, value in known.items():
            setattr(self, name, value)

    def written(self) -> bytes:
        """The body as JSON with its fields sorted, for all who look at it so. Raises `orjson.JSONEncodeError`."""
        kept = self._written
        if kept is None or kept[0] is not self.body:
            kept = self._written = self.body, orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)
        return kept[1]

    def was_written(self) -> bytes:
        """What `written` made, if it was asked for already; else b""."""
        kept = self._written
        return kept[1] if kept is not None and kept[0] is self.body else b""

    @property
    def turns(self) -> list[Attempt]:
        """The attempts, and in between the targets that were passed over."""
        if not self.passed_over:
            return self.attempts
        return sorted([*self.attempts, *self.passed_over], key=lambda attempt: attempt.started)
