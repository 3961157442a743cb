"""What is known of a model beyond its name: what it costs, how good it is, what it can do."""

from dataclasses import dataclass, field

from analytics import pricing
from keys.kinds import Kind

# Parts of the names of models that do something other than chat, for models that no price map knows.
OTHER_TASKS = (
    "embed", "rerank", "whisper", "tts", "transcribe", "moderation", "dall-e", "image", "realtime", "bge-", "minilm",
)  # fmt: skip

# The quality of a model that no leaderboard knows: the middle, marked as assumed.
NEUTRAL_QUALITY = 0.5
ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model at one provider, as the policy sees it. Prices are USD per token, windows are tokens."""

    price: pricing.Price
    # 0 to 1, higher is better, with where the number is from and of when ("assumed" where nobody measured it).
    quality: float = NEUTRAL_QUALITY
    quality_source: str = ASSUMED
    # None: unknown, and then no request is kept from it.
    context_window: int | None = None
    max_output: int | None = None
    # Of vision, audio, tools, json, reasoning; None: unknown, so what the kind can do decides.
    capabilities: frozenset[str] | None = None
    enabled: bool = True
    # Whether a local server holds the model in memory; None where it does not say.
    loaded: bool | None = None
    # USD per token as floats, for scoring; the ledger uses `price`.
    input_rate: float = field(init=False)
    output_rate: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_rate", float(self.price.input))
        object.__setattr__(self, "output_rate", float(self.price.output))

    @property
    def assumed(self) -> bool:
        """Whether the quality is a guess."""
        return self.quality_source == ASSUMED


def facts_for(kind: Kind, model: str, *, local: bool) -> ModelFacts:
    """What is known of `model` at a provider of that kind, before a workspace's own settings."""
    price = pricing.price_for(kind.id, model, local)
    return ModelFacts(price=price, context_window=price.context_window, max_output=price.max_output)


def chats(kind: Kind, model: str) -> bool:
    """Whether `model` takes a chat: what the price map says, else what its name suggests."""
    mode = pricing.mode(kind.id, model)
    if mode:
        return mode in ("chat", "responses")
    lowered = model.lower()
    return not any(part in lowered for part in OTHER_TASKS)
