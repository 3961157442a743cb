"""What a policy says: the facts that the request path reads, in the form in which it reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway_project.lib.format import BUILT_IN_POLICY
from routing.grounding.wish import RagWish
from routing.providers.base import DEFAULT_TIMEOUTS, Timeouts

# What the policy of a workspace without one is called, everywhere; `default` sounds like the workspace's own default.
BUILT_IN = BUILT_IN_POLICY
RESERVED = frozenset({BUILT_IN.lower(), "default"})
COMPLEXITIES = ("simple", "moderate", "complex", "expert")
TASKS = ("chat", "vision", "ocr")


@dataclass(frozen=True, slots=True)
class Weights:
    """How much cost, quality and speed count. Not negative, with a sum of 1."""

    cost: float = 0.40
    quality: float = 0.35
    speed: float = 0.25


BALANCED = Weights()
NOTHING: Mapping[str, float] = MappingProxyType({})
# (local choice, cloud choice) for each task; "" where there is none. Taken where such a target exists.
TASK_MODELS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "chat": ("dolphin-mistral-nemo", "gemini-2.5-flash"),
        "vision": ("qwen3-vl:8b", "gemini-2.5-flash"),
        "ocr": ("deepseek-ocr:3b", "gemini-2.5-flash"),
    }
)


@dataclass(frozen=True, slots=True)
class SemanticFacts:
    """How a policy uses the semantic cache."""

    # The least cosine of two prompts; None: the embedding model's own.
    threshold: float | None = None
    # The share of false hits that its threshold is moved for, and the share of hits that are answered afresh to see.
    max_false_hits: float = 0.01
    check_share: float = 0.02
    # The model that compares the answers then; "": their embeddings alone do.
    judge: str = ""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """One version of a policy, validated. The defaults are those of a workspace without one."""

    id: str = ""
    name: str = BUILT_IN
    version: int = 0
    weights: Weights = BALANCED
    # Bare model ids or `<provider>/<model>` among which to choose; None: every target that chats.
    models: frozenset[str] | None = None
    # Per complexity, hard. Where a policy says nothing, `routing.policy` has a floor that gives way.
    min_quality: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    # What may follow when a named model fails, in order: bare model ids or `<provider>/<model>`.
    fallbacks: tuple[str, ...] = ()
    privacy_mode: str = ""
    # Whether a request of sensitivity `internal` may go to the cloud when no local target answers.
    internal_may_leave: bool = False
    # The most that a request may be estimated to cost, in USD.
    max_cost_usd: float | None = None
    tasks: Mapping[str, tuple[str, str]] = field(default_factory=lambda: TASK_MODELS)
    classifier: str = "rules"
    # Whether what was learnt of the models' answers moves their quality; whether a late answer is raced by a second.
    calibrate: bool = False
    hedge: bool = False
    # Which requests use the exact cache: all, none, or (None) those at temperature 0.
    cache_exact: bool | None = None
    # None: answers are given to identical requests alone.
    cache_semantic: SemanticFacts | None = None
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    # The library that its requests are answered from, where they name none.
    rag: RagWish | None = None


DEFAULT = PolicyFacts()
