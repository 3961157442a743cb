"""What is known of a model beyond its name: what it costs, how good it is, what it can do."""

import functools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from analytics import pricing
from analytics.amounts import as_text
from keys.kinds import Kind
from keys.probe import ListedModel
from keys.queries import ProviderFacts
from routing import families
from routing.priors import prior_for

if TYPE_CHECKING:
    from routing.providers.base import Target

# Parts of the names of models that do something other than chat, for models that no price map knows.
OTHER_TASKS = (
    "embed", "rerank", "whisper", "tts", "transcribe", "moderation", "dall-e", "image", "realtime", "bge-", "minilm",
)  # fmt: skip

# The quality of a model that no leaderboard knows: the middle, marked as assumed.
NEUTRAL_QUALITY = 0.5
ASSUMED = "assumed"
WORKSPACE = "workspace"
# Decimal places between a price per million tokens and one per token.
MEGA = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettingsFacts:
    """What a workspace set for a model; None: nothing, so what is known everywhere holds. Prices are per Mtok."""

    input_usd_per_mtok: Decimal | None = None
    cached_input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    quality: float | None = None
    context_window: int | None = None
    enabled: bool | None = None


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


NO_SETTINGS = ModelSettingsFacts()
UNLISTED = ListedModel()


def facts_for(
    kind: Kind,
    model: str,
    *,
    local: bool,
    settings: ModelSettingsFacts | None = None,
    loaded: bool | None = None,
    listed: ListedModel | None = None,
) -> ModelFacts:
    """What is known of `model` at a provider of that kind: what the workspace set first, then what everybody knows.

    `listed` is what the provider's own list says of it, `loaded` whether its server holds it in memory.
    """
    return _facts(kind, model, local, settings or NO_SETTINGS, loaded, listed or UNLISTED)


def facts_at(provider: ProviderFacts, model: str, settings: ModelSettingsFacts | None = None) -> ModelFacts:
    """What is known of `model` at `provider`, with what its server says of it and what the workspace set."""
    # Ollama lists what is asked for without a tag as `:latest`.
    names = (model, f"{model}:latest")
    loaded = None if provider.loaded is None else not provider.loaded.isdisjoint(names)
    listed = next((provider.listed[name] for name in names if name in provider.listed), None)
    return facts_for(provider.kind, model, local=provider.local, settings=settings, loaded=loaded, listed=listed)


@functools.lru_cache(maxsize=16384)
def _facts(
    kind: Kind, model: str, local: bool, settings: ModelSettingsFacts, loaded: bool | None, listed: ListedModel
) -> ModelFacts:
    price = pricing.price_for(kind.id, model, local)
    quality, source = settings.quality, WORKSPACE
    if quality is None:
        prior = prior_for(kind.id, model)
        quality, source = (prior.quality, prior.source) if prior else (NEUTRAL_QUALITY, ASSUMED)
    return ModelFacts(
        price=_price(price, settings, listed),
        quality=quality,
        quality_source=source,
        context_window=settings.context_window or listed.context_window or price.context_window,
        max_output=listed.max_output or price.max_output,
        capabilities=listed.capabilities if listed.capabilities is not None else _capabilities(kind, model),
        enabled=settings.enabled is not False,
        loaded=loaded,
    )


def _capabilities(kind: Kind, model: str) -> frozenset[str] | None:
    """What the price map says and what the model's family is known for, together; None when neither says anything."""
    told, known = pricing.capabilities(kind.id, model), families.capabilities(model)
    if told is None and known is None:
        return None
    found = (told or frozenset()) | (known or frozenset())
    # A server that runs a model itself holds it to JSON as it samples.
    return found | {"json"} if kind.self_hosted or "tools" in found else found


def _price(known: pricing.Price, settings: ModelSettingsFacts, listed: ListedModel) -> pricing.Price:
    """The workspace's own price, else what is known, else what the provider lists; a part that it left out is known's.

    Half a price is none: it stays unknown what a request costs.
    """
    if not known.known and listed.input_rate is not None and listed.output_rate is not None:
        known = pricing.stated(pricing.PROVIDER, listed.input_rate, listed.output_rate, listed.cached_input_rate)
    into, out, cached = (
        None if usd is None else usd.scaleb(-MEGA)
        for usd in (settings.input_usd_per_mtok, settings.output_usd_per_mtok, settings.cached_input_usd_per_mtok)
    )
    if into is None and out is None and cached is None:
        return known
    if known.known:
        # The known discount goes with the known input price.
        cached = known.cached_input if cached is None and into is None else cached
        into = known.input if into is None else into
        out = known.output if out is None else out
    if into is None or out is None:
        return known
    return pricing.stated(pricing.WORKSPACE, into, out, cached)


def described(target: "Target") -> dict[str, Any]:
    """What the pages and the API show of `target`'s model, ready for JSON.

    Prices are decimal strings, USD per million tokens, or None where nobody knows; windows are tokens or None.
    """
    facts = target.facts
    price = facts.price
    return {
        "input_usd_per_mtok": _per_mtok(price, price.input),
        "cached_input_usd_per_mtok": _per_mtok(price, price.cached_input),
        "output_usd_per_mtok": _per_mtok(price, price.output),
        "price_source": price.source,
        "quality": facts.quality,
        "quality_source": facts.quality_source,
        "assumed": facts.assumed,
        "context_window": facts.context_window,
        "max_output": facts.max_output,
        "capabilities": None if facts.capabilities is None else sorted(facts.capabilities),
        "loaded": facts.loaded,
    }


def _per_mtok(price: pricing.Price, rate: Decimal) -> str | None:
    return as_text(rate.scaleb(MEGA)) if price.known else None


def chats(kind: Kind, model: str) -> bool:
    """Whether `model` takes a chat: what the price map says, else what its name suggests."""
    mode = pricing.mode(kind.id, model)
    if mode:
        return mode in ("chat", "responses")
    lowered = model.lower()
    return not any(part in lowered for part in OTHER_TASKS)
