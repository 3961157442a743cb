"""What a request needs of whoever answers it: abilities, room for its tokens, and how long its answer will be."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from routing.exchange import Exchange, Label

# What a model, and some of it a kind, may be unable to do; the bits say which of them a request asks for.
STREAMING, TOOLS, VISION, AUDIO, JSON, REASONING = (1 << bit for bit in range(6))
_NAMES = {
    STREAMING: "streaming", TOOLS: "tools", VISION: "vision", AUDIO: "audio", JSON: "json", REASONING: "reasoning",
}  # fmt: skip
# Of these, what `Kind.capabilities` and what `ModelFacts.capabilities` speak of.
OF_KINDS = frozenset({"streaming", "tools", "vision"})
OF_MODELS = frozenset({"tools", "vision", "audio", "json", "reasoning"})

_JSON_FORMATS = frozenset({"json_object", "json_schema"})
# Members of a body that tell of abilities; most have none of them.
_TELLING = frozenset({"tools", "response_format", "reasoning_effort", "reasoning", "modalities"})
_PARTS = {"image_url": VISION, "input_audio": AUDIO}

# Tokens that an answer is expected to have, as far as `max_tokens` allows. Estimates: chat logs (LMSYS-Chat-1M) have
# about 200 a turn on average, and harder requests are answered at greater length.
EXPECTED_OUTPUT = {"simple": 150, "moderate": 400, "complex": 1000, "expert": 2000}
# A prompt of more tokens is preferably given to a model with a window of at least so many.
LONG_PROMPT, LARGE_WINDOW = 30_000, 128_000


@dataclass(slots=True)
class Needs:
    """What one request needs. `capability` is its endpoint's, `bits` are those above; sizes are tokens."""

    capability: str
    bits: int
    prompt: int
    # What was asked for at most; 0 when nothing was said.
    max_output: int
    # What is expected, for estimates of cost and time.
    output: int


def needs_of(exchange: Exchange, label: Label) -> Needs:
    """What `exchange`, as `label` describes it, needs."""
    body = exchange.body
    bits = STREAMING if exchange.stream else 0
    if label.task not in ("chat", "embedding"):
        bits |= VISION
    if not _TELLING.isdisjoint(body):
        bits |= _in_fields(body)
    found = label.features
    if found is None or found.images or found.attachments:
        bits |= _in_messages(exchange)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    most = limit if type(limit) is int and limit > 0 else 0
    expected = EXPECTED_OUTPUT[label.complexity]
    output = most if 0 < most < expected else expected
    return Needs(exchange.endpoint.capability, bits, label.prompt_tokens, most, output)


def _in_fields(body: dict[str, Any]) -> int:
    bits = TOOLS if body.get("tools") else 0
    if "response_format" in body and _asks_for_json(body["response_format"]):
        bits |= JSON
    effort = body.get("reasoning_effort")
    if (effort is not None and effort != "none") or body.get("reasoning"):
        bits |= REASONING
    modalities = body.get("modalities")
    if type(modalities) is list and "audio" in modalities:
        bits |= AUDIO
    return bits


def _asks_for_json(response_format: Any) -> bool:
    return type(response_format) is dict and response_format.get("type") in _JSON_FORMATS


def _in_messages(exchange: Exchange) -> int:
    bits = 0
    if exchange.endpoint.content == "messages":  # elsewhere it is any unknown field, of any shape
        for message in exchange.body["messages"]:
            content = message.get("content")
            if type(content) is list:
                bits |= _in_parts(content)
    return bits


def _in_parts(content: list[Any]) -> int:
    bits = 0
    for part in content:
        if type(part) is dict:
            kind = part.get("type")
            if type(kind) is str:
                bits |= _PARTS.get(kind, 0)
    return bits


@lru_cache(maxsize=256)
def of_kind(capability: str, bits: int) -> frozenset[str]:
    """What the target's kind must be able to do, in the vocabulary of `Kind.capabilities`."""
    return (names(bits) & OF_KINDS) | {capability}


@lru_cache(maxsize=256)
def of_model(bits: int) -> frozenset[str]:
    """What the model must be able to do, in the vocabulary of `ModelFacts.capabilities`."""
    return names(bits) & OF_MODELS


def names(bits: int) -> frozenset[str]:
    """The abilities that `bits` ask for."""
    return frozenset(name for bit, name in _NAMES.items() if bits & bit)
