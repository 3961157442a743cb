"""What providers say of their models in their own lists, in whatever words each has for it.

Everything here comes from a stranger: what is not of the expected type, or beyond reason, was not said.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from keys.kinds import Kind
from keys.probe import ListedModel

# Of one list, in its order. OpenRouter's, the longest known, has some 450.
MAX_MODELS = 2000
MAX_NAME = 300
MAX_TOKENS = 2**31 - 1
# A rate of a dollar a token, or one with more places than a ledger keeps, is a slip or a joke.
MAX_PLACES = 20

Entry = Mapping[str, Any]

# By the words of vLLM and SGLang, OpenRouter and Together, Groq, Mistral and LM Studio, Gemini, Anthropic.
WINDOW = ("max_model_len", "context_length", "context_window", "max_context_length", "inputTokenLimit",
          "max_input_tokens")  # fmt: skip
OUTPUT = ("max_completion_tokens", "outputTokenLimit", "max_tokens")
MISTRAL = {"function_calling": "tools", "vision": "vision", "audio": "audio", "reasoning": "reasoning"}
OPENROUTER_INPUT = {"image": "vision", "audio": "audio"}
OPENROUTER_PARAMETERS = {
    "tools": "tools", "response_format": "json", "structured_outputs": "json", "reasoning": "reasoning",
}  # fmt: skip


def by_name(entries: Iterable[Any]) -> dict[str, Entry]:
    """The entries of a list by their models' names, those left out that have none to use; `MAX_MODELS` at most."""
    found: dict[str, Entry] = {}
    for entry in entries:
        name = usable_name(entry.get("id", entry.get("name"))) if isinstance(entry, dict) else None
        if name is not None:
            found.setdefault(name, entry)
        if len(found) == MAX_MODELS:
            break
    return found


def usable_name(name: Any) -> str | None:
    """`name` as requests name the model, or None. (Gemini lists its models as `models/<id>`.)"""
    if not isinstance(name, str):
        return None
    name = name.removeprefix("models/")
    return name if 0 < len(name) <= MAX_NAME and name.isprintable() else None


def loaded(entries: Mapping[str, Entry]) -> tuple[str, ...] | None:
    """The models that are in memory, where the list says so (llama.cpp's router, LM Studio); None where it does not."""
    states = {name: state for name, entry in entries.items() if (state := _state(entry)) is not None}
    return tuple(name for name, state in states.items() if state == "loaded") if states else None


def listed(kind: Kind, entry: Entry) -> ListedModel | None:
    """What `entry` says of its model; None when that is no more than its name."""
    input_rate, cached_input_rate, output_rate = _rates(kind, entry)
    top = entry.get("top_provider")
    said = ListedModel(
        context_window=first_count(entry, WINDOW),
        max_output=first_count(entry, OUTPUT) or (first_count(top, OUTPUT) if isinstance(top, dict) else None),
        capabilities=_capabilities(kind, entry),
        input_rate=input_rate,
        cached_input_rate=cached_input_rate,
        output_rate=output_rate,
    )
    return None if said == ListedModel() else said


def first_count(entry: Entry, names: Iterable[str]) -> int | None:
    """The first of the fields `names` that is a number of tokens."""
    return next((tokens for name in names if (tokens := count(entry.get(name))) is not None), None)


def count(value: Any) -> int | None:
    """`value` where it can be a number of tokens."""
    return value if type(value) is int and 0 < value <= MAX_TOKENS else None


def _state(entry: Entry) -> str | None:
    status = entry.get("status")
    state = status.get("value") if isinstance(status, dict) else entry.get("state")
    return state if isinstance(state, str) else None


def _capabilities(kind: Kind, entry: Entry) -> frozenset[str] | None:
    if kind.id == "openrouter":
        architecture, parameters = entry.get("architecture"), entry.get("supported_parameters")
        takes = architecture.get("input_modalities") if isinstance(architecture, dict) else None
        if isinstance(takes, list) and isinstance(parameters, list):
            return _named(takes, OPENROUTER_INPUT) | _named(parameters, OPENROUTER_PARAMETERS)
    can = entry.get("capabilities")
    if kind.id == "mistral" and isinstance(can, dict):
        found = _named((name for name, holds in can.items() if holds is True), MISTRAL)
        return found | {"json"} if can.get("completion_chat") is True else found
    return None


def _named(said: Iterable[Any], meanings: Mapping[str, str]) -> frozenset[str]:
    return frozenset(meanings[word] for word in said if isinstance(word, str) and word in meanings)


def _rates(kind: Kind, entry: Entry) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """USD per token: input, cached input, output."""
    prices = entry.get("pricing")
    if not isinstance(prices, dict):
        return None, None, None
    if kind.id == "openrouter":
        names, places = ("prompt", "input_cache_read", "completion"), 0
    elif kind.id == "together":  # USD per million tokens; zeros stand for models without a price per token
        names, places = ("input", "cached_input", "output"), 6
    else:
        return None, None, None
    into, cached, out = (_rate(prices.get(name), places) for name in names)
    return (None, None, None) if kind.id == "together" and not (into or out) else (into, cached, out)


def _rate(value: Any, places: int) -> Decimal | None:
    """`value` with the point `places` further left; None when it is no price (OpenRouter has -1 for "it depends")."""
    if type(value) not in (str, int, float):
        return None
    try:
        rate = Decimal(str(value).strip()[:40])
    except InvalidOperation:
        return None
    if not rate.is_finite() or not 0 <= rate < 10**places:
        return None
    rate = rate.scaleb(-places)
    exponent = rate.as_tuple().exponent
    return rate if isinstance(exponent, int) and -exponent <= MAX_PLACES else None
