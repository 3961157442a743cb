"""What a request cost: exact decimals, from litellm's price map or from the provider's own bill.

The map is read as the JSON file that litellm's package carries; litellm itself is not imported. Its numbers are read
as the decimals they are written as, never as floats, and reckoned with as ints of 1e-20 USD, so `tokens * rate` is
exact. A cost is rounded once, at the end, half to even to picodollars (1e-12 USD); no rate of the map has more than 12
places today, so nothing is rounded today.

Whatever a model's entry does not say follows litellm's own reading of it: a missing rate for cached tokens is the input
rate, a missing one for reasoning is the output rate, and above a prompt length with rates of its own (200k, 272k, …)
those hold for the whole request. Left out, since no target says what they need: batch rates, data-residency uplifts,
and charges that are not per token (searches, images, code sessions); OpenRouter and xAI report those in their bill.
"""

import functools
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Any

from analytics.amounts import as_text
from analytics.offpeak import OffPeak
from analytics.usage import Usage

ZERO = Decimal(0)
# Holds every amount and rate as it is, whatever the thread's own context.
_WIDE = Context(prec=50)

# Rates have no more places than this: what tokens cost is a whole number of units of 1e-20 USD.
_MAX_RATE_PLACES = 20
_UNITS_PER_PICO = 10**8

UNKNOWN, LOCAL = "unknown", "local"
# Where a price is from that neither the map nor the place of a model tells.
WORKSPACE, PROVIDER = "workspace", "provider"

# Where litellm's map keeps a kind's models: the prefix of their names, and the `litellm_provider` of their entries.
_PREFIX = {
    "openai": "", "anthropic": "", "gemini": "gemini/", "azure": "azure/", "mistral": "mistral/", "groq": "groq/",
    "deepseek": "deepseek/", "openrouter": "openrouter/", "together": "together_ai/", "xai": "xai/",
}  # fmt: skip
_PROVIDERS = frozenset(
    {
        "openai", "text-completion-openai", "anthropic", "gemini", "azure", "azure_text", "mistral", "groq", "deepseek",
        "openrouter", "together_ai", "xai",
    }
)  # fmt: skip
# OpenRouter passes its providers' prices through, and names models by their makers.
_OPENROUTER_MAKERS = {
    "openai": "", "anthropic": "", "google": "gemini/", "x-ai": "xai/", "mistralai": "mistral/",
    "deepseek": "deepseek/",
}  # fmt: skip
# What is kept of an entry.
_RATES = (
    "input_cost_per_token", "input_cost_per_audio_token", "output_cost_per_token", "output_cost_per_audio_token",
    "output_cost_per_reasoning_token", "cache_read_input_token_cost", "cache_creation_input_token_cost",
)  # fmt: skip
_FACTS = frozenset(
    {"litellm_provider", "mode", "max_input_tokens", "max_output_tokens", "max_tokens", "off_peak_pricing"}
)
# What an entry says that a model can do -> what it is called here. Whoever takes a tool's schema also answers in JSON
# on request; litellm asks Anthropic for JSON by way of a tool.
_CAPABILITIES = {
    "supports_vision": "vision", "supports_audio_input": "audio", "supports_function_calling": "tools",
    "supports_response_schema": "json", "supports_reasoning": "reasoning",
}  # fmt: skip
_IMPLIED = {"tools": "json"}
_CAN = "can"
_ABOVE = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens$")
_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|20\d{6})$")
_SERVICE_TIERS = ("flex", "priority", "balanced", "ultrafast")
# xAI bills the higher tier from the threshold on, the others above it.
_FROM_THRESHOLD_ON = frozenset({"xai"})


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token of each sort. `record` is the same for the ledger (strings; do not change it).

    `units` are the rates in their order, in units of 1e-20 USD.
    """

    input: Decimal
    cached_input: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    output: Decimal
    reasoning: Decimal
    audio_input: Decimal
    audio_output: Decimal
    record: dict[str, str]
    units: tuple[int, int, int, int, int, int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rates = (self.input, self.cached_input, self.cache_write, self.cache_write_1h, self.output, self.reasoning,
                 self.audio_input, self.audio_output)  # fmt: skip
        object.__setattr__(self, "units", tuple([int(rate.scaleb(_MAX_RATE_PLACES, _WIDE)) for rate in rates]))


# Rates by prompt length, the longest first: (tokens from which they hold, rates). The last one begins at 0.
Ladder = tuple[tuple[int, Rates], ...]


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs. `source` says where that is from.

    It is "litellm <version>", "local", "workspace" (set there), "provider" (its own list) or "unknown".
    """

    source: str
    standard: Ladder
    service_tiers: Mapping[str, Ladder]
    off_peak: OffPeak[Rates] | None
    context_window: int | None
    max_output: int | None
    free: bool

    @property
    def input(self) -> Decimal:
        return self.standard[-1][1].input

    @property
    def cached_input(self) -> Decimal:
        return self.standard[-1][1].cached_input

    @property
    def cache_write(self) -> Decimal:
        return self.standard[-1][1].cache_write

    @property
    def output(self) -> Decimal:
        return self.standard[-1][1].output

    @property
    def reasoning(self) -> Decimal:
        return self.standard[-1][1].reasoning

    @property
    def known(self) -> bool:
        return self.source != UNKNOWN

    @property
    def from_map(self) -> bool:
        """Whether litellm's map has it, so that its name is one of a bounded number."""
        return self.source.startswith("litellm")

    def rates(self, usage: Usage, at: datetime | None = None) -> Rates:
        """The rates that `usage` is billed at, when it happened at `at` (UTC; now by default)."""
        if self.off_peak is not None and self.off_peak.holds(at or datetime.now(UTC)):
            return self.off_peak.rates
        ladder = self.standard
        if usage.service_tier and self.service_tiers:
            ladder = self.service_tiers.get(usage.service_tier, ladder)
        for least, rates in ladder:
            if usage.prompt >= least:
                return rates
        raise AssertionError("a ladder ends at 0")


def charge(price: Price, usage: Usage, at: datetime | None = None) -> tuple[int, dict[str, Any]]:
    """What `usage` costs in picodollars (1e-12 USD), and what the ledger keeps of the price (see `record`).

    The cost is the provider's own bill where it sent one, else tokens times rates.
    """
    rates = price.rates(usage, at)
    told = _told(rates, usage)
    if usage.reported_cost is not None:
        return int(usage.reported_cost.scaleb(12, _WIDE).to_integral_value(ROUND_HALF_EVEN)), told
    return 0 if price.free else _picodollars(rates, usage), told


def cost(price: Price, usage: Usage, at: datetime | None = None) -> Decimal:
    """USD for `usage`, with 12 places."""
    return Decimal(charge(price, usage, at)[0]).scaleb(-12, _WIDE)


def record(price: Price, usage: Usage, at: datetime | None = None) -> dict[str, Any]:
    """What the ledger keeps of a price: the rates that `usage` is billed at, with their source and tier.

    Rates are strings, USD per token; one that merely repeats the rate it falls back to is left out. Counts that the
    ledger has no column for are put beside them. The result may be shared: do not change it.
    """
    return charge(price, usage, at)[1]


def _picodollars(rates: Rates, usage: Usage) -> int:
    """Tokens times rates, rounded half to even."""
    into, cached, write, write_1h, out, reasoning, audio_in, audio_out = rates.units
    total = into * (usage.prompt - usage.cached - usage.cache_write - usage.audio_prompt)
    total += out * (usage.completion - usage.reasoning - usage.audio_completion)
    if usage.cached:
        total += cached * usage.cached
    if usage.cache_write:
        total += write * (usage.cache_write - usage.cache_write_1h) + write_1h * usage.cache_write_1h
    if usage.reasoning:
        total += reasoning * usage.reasoning
    if usage.audio_prompt or usage.audio_completion:
        total += audio_in * usage.audio_prompt + audio_out * usage.audio_completion
    whole, rest = divmod(total, _UNITS_PER_PICO)
    return whole + (2 * rest + whole % 2 > _UNITS_PER_PICO) if rest else whole


def _told(rates: Rates, usage: Usage) -> dict[str, Any]:
    told: dict[str, Any] = rates.record
    if usage.reported_cost is not None:
        told = {**told, "source": "provider", "reported_usd": as_text(usage.reported_cost)}
    if usage.cache_write or usage.audio_prompt or usage.audio_completion:
        counts = ("cache_write", "cache_write_1h", "audio_prompt", "audio_completion")
        told = told | {f"{name}_tokens": tokens for name in counts if (tokens := getattr(usage, name))}
    return told


@functools.lru_cache(maxsize=8192)
def price_for(kind_id: str, model: str, local: bool) -> Price:
    """The price of `model` at a provider of that kind; zeros when it is local, or (source "unknown") not in the map.

    The first call reads the map: some 20 ms. `load()` does that ahead of time.
    """
    if local:
        return _free(LOCAL)
    entry = _entry(kind_id, model)
    return _price(entry) if entry and "input_cost_per_token" in entry else _free(UNKNOWN)


@functools.lru_cache(maxsize=8192)
def stated(source: str, input: Decimal, output: Decimal, cached_input: Decimal | None = None) -> Price:
    """A price that somebody stated, USD per token, the same at any length. Raises `ValueError` for what is none."""
    into, out = _rate(input), _rate(output)
    cached = into if cached_input is None else _rate(cached_input)
    numbers = {
        "input": into, "cached_input": cached, "cache_write": into, "cache_write_1h": into, "output": out,
        "reasoning": out, "audio_input": into, "audio_output": out,
    }  # fmt: skip
    rates = Rates(**numbers, record=_record(source, "standard", numbers))
    return Price(source, ((0, rates),), {}, None, None, None, free=not _charges(rates))


@functools.lru_cache(maxsize=8192)
def mode(kind_id: str, model: str) -> str:
    """What the map says `model` does ("chat", "embedding", "image_generation", …); "" when it does not know it."""
    entry = _entry(kind_id, model)
    return str(entry.get("mode") or "") if entry else ""


@functools.lru_cache(maxsize=8192)
def capabilities(kind_id: str, model: str) -> frozenset[str] | None:
    """What the map says `model` can do, of vision, audio, tools, json and reasoning; None when it says nothing."""
    entry = _entry(kind_id, model)
    found: frozenset[str] | None = entry.get(_CAN) if entry else None
    return found


def _entry(kind_id: str, model: str) -> dict[str, Any] | None:
    entries = load()
    return next((entries[name] for name in _names(kind_id, model) if name in entries), None)


def _names(kind_id: str, model: str) -> list[str]:
    """Under which names the map may have `model`: its own, then, for a dated version it does not list, the undated."""
    if kind_id not in _PREFIX:
        return []
    model = model.lower().removeprefix("models/")  # Gemini lists its models as models/<id>
    names = [_PREFIX[kind_id] + model]
    if kind_id == "openrouter":
        maker, _, rest = model.partition("/")
        if maker in _OPENROUTER_MAKERS:
            spelling = rest.replace(".", "-") if maker == "anthropic" else rest
            names.append(_OPENROUTER_MAKERS[maker] + spelling)
    elif model.startswith("ft:"):  # ft:<base>:<organisation>:<name>:<id>
        names.append(":".join(model.split(":")[:2]))
    undated = [_DATE.sub("", name) for name in names]
    return list(dict.fromkeys(names + undated))


@functools.cache
def load() -> dict[str, dict[str, Any]]:
    """The part of litellm's map that is about our kinds' token prices, by lower-case name."""
    spec = importlib.util.find_spec("litellm")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("litellm, whose price map is needed, is not installed")
    path = Path(spec.submodule_search_locations[0]) / "model_prices_and_context_window_backup.json"
    # Entries are cut down as they are parsed, so that the 3 MB of JSON never stand in memory as objects.
    whole = json.loads(path.read_bytes(), parse_float=Decimal, object_pairs_hook=_keep)
    return {name.lower(): entry for name, entry in whole.items() if entry and "litellm_provider" in entry}


def _keep(pairs: list[tuple[str, Any]]) -> Any:
    """An object of the map without what has no use here: None for a model that no kind serves."""
    entry = dict(pairs)
    if "litellm_provider" not in entry:
        return entry  # the map itself, or an object within an entry
    if entry["litellm_provider"] not in _PROVIDERS:
        return None
    kept = {key: value for key, value in pairs if key in _FACTS or key.startswith(_RATES)}
    told = [_CAPABILITIES[key] for key, value in pairs if value and key in _CAPABILITIES]
    if told:
        kept[_CAN] = _shared(frozenset([*told, *(_IMPLIED[name] for name in told if name in _IMPLIED)]))
    return kept


@functools.cache
def _shared(names: frozenset[str]) -> frozenset[str]:
    """One object for the many entries that can do the same."""
    return names


def _price(entry: dict[str, Any]) -> Price:
    source = f"litellm {importlib.metadata.version('litellm')}"
    inclusive = entry["litellm_provider"] in _FROM_THRESHOLD_ON
    thresholds = sorted((int(found[1]) for key in entry if (found := _ABOVE.match(key))), reverse=True)

    def ladder(service: str) -> Ladder:
        steps = [(k * 1000 + (not inclusive), _rates(entry, source, service, k)) for k in thresholds]
        return (*steps, (0, _rates(entry, source, service)))

    tiers = {service: ladder(service) for service in _SERVICE_TIERS if f"input_cost_per_token_{service}" in entry}
    if "priority" in tiers:
        tiers["fast"] = tiers["priority"]
    standard = ladder("")
    off_peak = None
    if isinstance(block := entry.get("off_peak_pricing"), dict):
        off_peak = OffPeak.parse(block, _rates({**entry, **block}, source, tier="off-peak"))
    free = not any(_charges(rates) for steps in (standard, *tiers.values()) for _, rates in steps)
    window = entry.get("max_input_tokens") or entry.get("max_tokens")
    return Price(source, standard, tiers, off_peak, _limit(window), _limit(entry.get("max_output_tokens")), free)


def _rates(entry: dict[str, Any], source: str, service: str = "", above: int = 0, tier: str = "") -> Rates:
    """An entry's rates at a service tier, for prompts longer than `above` thousand tokens.

    The most specific rate that the entry states wins.
    """
    suffixes = [f"_above_{above}k_tokens_{service}", f"_above_{above}k_tokens"] if above else []
    suffixes = [suffix for suffix in (*suffixes, f"_{service}", "") if service or not suffix.endswith("_")]

    def rate(name: str) -> Decimal | None:
        for suffix in suffixes:
            value = entry.get(name + suffix)
            if value is not None:
                return _rate(value)
        return None

    def or_else(value: Decimal | None, fallback: Decimal) -> Decimal:
        return fallback if value is None else value

    into = or_else(rate("input_cost_per_token"), ZERO)
    out = or_else(rate("output_cost_per_token"), ZERO)
    write = or_else(rate("cache_creation_input_token_cost"), into)
    reasoning = entry.get(f"output_cost_per_reasoning_token{suffixes[0]}")
    numbers = {
        "input": into,
        "cached_input": or_else(rate("cache_read_input_token_cost"), into),
        "cache_write": write,
        "cache_write_1h": or_else(rate("cache_creation_input_token_cost_above_1hr"), write),
        "output": out,
        "reasoning": out if reasoning is None else _rate(reasoning),
        "audio_input": or_else(rate("input_cost_per_audio_token"), into),
        "audio_output": or_else(rate("output_cost_per_audio_token"), out),
    }
    named = tier or " ".join(part for part in (service, f">{above}k" if above else "") if part) or "standard"
    return Rates(**numbers, record=_record(source, named, numbers))


def _rate(value: Any) -> Decimal:
    rate = Decimal(value)
    places = rate.as_tuple().exponent
    if not 0 <= rate < 1 or not isinstance(places, int) or -places > _MAX_RATE_PLACES:
        raise ValueError(f"{value} is no price of a token")
    return rate


def _record(source: str, tier: str, numbers: dict[str, Decimal]) -> dict[str, str]:
    """Rates that merely repeat the one they fall back to are left out."""
    base = {"cached_input": "input", "cache_write": "input", "cache_write_1h": "cache_write", "reasoning": "output",
            "audio_input": "input", "audio_output": "output"}  # fmt: skip
    told = {name: f"{rate:f}" for name, rate in numbers.items() if name not in base or rate != numbers[base[name]]}
    return {"source": source, "tier": tier, **told}


def _charges(rates: Rates) -> bool:
    return any((rates.input, rates.cached_input, rates.cache_write, rates.output, rates.reasoning, rates.audio_input))


def _limit(value: Any) -> int | None:
    return int(value) if isinstance(value, int | Decimal) else None


@functools.cache
def _free(source: str) -> Price:
    rates = Rates(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, {"source": source})
    return Price(source, ((0, rates),), {}, None, None, None, free=True)
