"""The tokens of one request, read from what the provider said in its own dialect.

Every count is normalised to OpenAI's meaning: `cached` and `cache_write` are parts of `prompt`, `reasoning` is a part
of `completion`. The differences that matter:

- xAI leaves reasoning out of `completion_tokens` but puts it into `total_tokens`; OpenAI, DeepSeek, Groq and litellm
  count it in both. The sum tells which.
- DeepSeek names cache hits `prompt_cache_hit_tokens`; some OpenAI-compatible servers put `cached_tokens` beside
  `prompt_tokens`, and Mistral `num_cached_tokens`, with or without OpenAI's field.
- OpenAI and OpenRouter call cache writes `cache_write_tokens`, litellm's Anthropic `cache_creation_tokens`, with those
  kept for an hour apart, since they cost more.
- OpenRouter (`cost`, USD) and xAI (`cost_in_usd_ticks`, 10^-10 USD) say what they charged. That is the bill, cached
  and reasoning tokens, discounts and tools included (openrouter.ai/docs/use-cases/usage-accounting,
  docs.x.ai/developers/cost-tracking).
- Groq repeats usage under `x_groq` when a stream's client did not ask for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# What a count may be at most: the ledger's columns are 4-byte integers.
MAX_TOKENS = 2**31 - 1
_XAI_TICKS_PER_USD = Decimal(10**10)


@dataclass(slots=True)
class Usage:
    """Tokens, each counted once: `cached` and `cache_write` within `prompt`, `reasoning` within `completion`.

    `cache_write_1h` lies within `cache_write`, `audio_prompt` within `prompt`, `audio_completion` within `completion`.
    `service_tier` is the one the provider says it used ("" for its standard one), `reported_cost` what it says it
    charged, in USD. `estimated` tells that no upstream counted these tokens.
    """

    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    completion: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_1h: int = 0
    audio_prompt: int = 0
    audio_completion: int = 0
    service_tier: str = ""
    reported_cost: Decimal | None = None


def usage_from(body: Mapping[str, Any], kind_id: str) -> Usage | None:
    """The usage that an answer, or a chunk of a streamed one, carries; None when it carries none that makes sense.

    `body` is the whole OpenAI-shaped object, since its service tier stands beside its usage; a bare usage object will
    do. Counts that cannot be (negative, not a number, beyond `MAX_TOKENS`) make
    the usage None, so that the caller estimates instead; a part larger than its whole is cut to it.
    """
    raw = body.get("usage") or body
    if raw is body and isinstance(groq := body.get("x_groq"), dict):
        raw = groq.get("usage")
    if not isinstance(raw, dict):
        return None
    prompt = _count(raw.get("prompt_tokens"))
    completion = _count(raw.get("completion_tokens", 0))
    if prompt is None or completion is None:
        return None
    usage = Usage(prompt, 0, 0, completion)
    tier = body.get("service_tier")
    if tier is not None and isinstance(tier, str):
        usage.service_tier = tier
    if len(raw) > 3 or "total_tokens" not in raw:  # more than the three plain counts
        _read_parts(usage, raw)
        if kind_id in _REPORTED_COST:
            usage.reported_cost = _REPORTED_COST[kind_id](raw)
    return usage


def _read_parts(usage: Usage, raw: dict[str, Any]) -> None:
    """Fill in which of the prompt's and the completion's tokens have a price of their own."""
    details = raw.get("prompt_tokens_details")
    if isinstance(details, dict) and any(details.values()):
        usage.cached = _part(details.get("cached_tokens"), usage.prompt)
        written = details.get("cache_write_tokens") or details.get("cache_creation_tokens")
        if written:
            usage.cache_write = _part(written, usage.prompt - usage.cached)
            by_lifetime = details.get("cache_creation_token_details")
            if isinstance(by_lifetime, dict):
                usage.cache_write_1h = _part(by_lifetime.get("ephemeral_1h_input_tokens"), usage.cache_write)
        usage.audio_prompt = _part(details.get("audio_tokens"), usage.prompt - usage.cached - usage.cache_write)
    if not usage.cached:
        hits = raw.get("prompt_cache_hit_tokens") or raw.get("cached_tokens") or raw.get("num_cached_tokens")
        if hits:
            usage.cached = _part(hits, usage.prompt - usage.cache_write - usage.audio_prompt)
    details = raw.get("completion_tokens_details")
    if isinstance(details, dict) and any(details.values()):
        reasoning = _part(details.get("reasoning_tokens"), MAX_TOKENS - usage.completion)
        if reasoning and raw.get("total_tokens") == usage.prompt + usage.completion + reasoning:
            usage.completion += reasoning
        usage.reasoning = min(reasoning, usage.completion)
        usage.audio_completion = _part(details.get("audio_tokens"), usage.completion - usage.reasoning)


def _count(value: Any) -> int | None:
    """`value` as a number of tokens, or None when it is none. Servers without integers send 12.0."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _part(value: Any, whole: int) -> int:
    return min(_count(value) or 0, whole) if value else 0


def _usd(value: Any) -> Decimal | None:
    """`value` as an amount of money; a float is taken at its shortest spelling, which is what the provider wrote."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1_000_000_000:
        return None
    return Decimal(repr(value))


def _openrouter_cost(raw: dict[str, Any]) -> Decimal | None:
    """Credits taken, which are dollars; with the user's own key at OpenRouter, plus what that key's owner pays."""
    charged = _usd(raw.get("cost"))
    details = raw.get("cost_details")
    if charged is not None and raw.get("is_byok") is True and isinstance(details, dict):
        charged += _usd(details.get("upstream_inference_cost")) or 0
    return charged


def _xai_cost(raw: dict[str, Any]) -> Decimal | None:
    ticks = raw.get("cost_in_usd_ticks")
    if not isinstance(ticks, int) or isinstance(ticks, bool) or not 0 <= ticks < 10**19:
        return None
    return ticks / _XAI_TICKS_PER_USD


_REPORTED_COST = {"openrouter": _openrouter_cost, "xai": _xai_cost}
