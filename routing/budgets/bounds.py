"""The most that a request can cost at a target, before it is asked: an upper bound, in picodollars.

Input. No tokenizer in use makes more tokens of a text than it has bytes in UTF-8: those of OpenAI, Anthropic, DeepSeek,
Qwen and Llama 3 merge bytes, and SentencePiece (Gemini, Mistral) falls back to them. So the bytes of the request's JSON
are a bound, and free to count. Where only they are what does not fit, cl100k counts the text: twice its count holds
other tokenizers' finer cuts (the finest, of Claude, are some 1.4 times as many on prose), and a third of the bytes
holds what it alone takes for one token, such as long runs of spaces. On top comes `FRAME` for what providers add: chat
templates, OpenAI's and Groq's system preambles, Anthropic's 313 to 530 tokens for tools
(docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview).

Images cost by their pixels, whatever their bytes: `IMAGE` is more than any provider's documented most, which is 10,000
patches of OpenAI's "original" detail; GPT-4o mini alone counts up to 48,169, 2,833 and eight tiles of 5,667
(platform.openai.com/docs/guides/images-vision). Parts whose tokens cannot be told from the request (files, videos,
what a provider's own tools bring) are taken to fill the model's window.

Output. `max_tokens` or `max_completion_tokens` bounds an answer with its reasoning, at every provider that bills for
it; without one it is the model's own maximum (litellm's map), else its window, else the greatest maximum in the map.
Times `n`. A rejected prediction is billed as output, too.

Rates. The dearest that may apply: written to a cache, at a priority tier unless the request says which tier it wants,
at any length up to the bound, reasoning and audio. What is not billed per token (searches, sessions) is in no price
here; OpenRouter and xAI put it in the bill they report, which is entered as it is, also where it exceeds the bound.
"""

import asyncio
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import orjson

from analytics import tokens
from analytics.pricing import Price, Rates
from routing.providers.base import Target

FRAME: Final = 1024
IMAGE: Final = 16_384
IMAGE_4O_MINI: Final = 49_152
# The greatest context window, and the greatest maximum of an answer, in litellm's map (gemini-4-argon).
LARGEST: Final = 1_048_576
# Bytes that cl100k counts while the event loop waits, some 3 ms; and that it counts at all, in a thread.
COUNTED_AT_ONCE: Final = 16_384
COUNTED: Final = 1_048_576

# Rates have 20 decimal places at most (`analytics.pricing`), picodollars are 12.
_RATE_PLACES: Final = 20
_PER_PICO: Final = 10**8

_KNOWN_PARTS: Final = frozenset({"text", "refusal", "image_url", "input_audio", "thinking", "redacted_thinking"})
_OWN_TOOLS: Final = frozenset({"function", "custom"})
# Fields by which a provider searches, or otherwise fills the prompt by itself.
_FILLING: Final = ("web_search_options", "plugins", "search_parameters", "mcp_servers", "container")


@dataclass(slots=True)
class Size:
    """What of a request bounds its cost, whoever is asked. `tokens` are of the input, `output` of one answer."""

    tokens: int
    images: int = 0
    # Whether the prompt may fill the window.
    fills: bool = False
    # None: nothing was asked for.
    output: int | None = None
    answers: int = 1
    # Billed as output besides: a prediction.
    predicted: int = 0
    # Which rates may apply, so that equal ones share their ceilings: (any tier, cached for an hour, audio).
    rates: tuple[bool, bool, bool] = (True, False, False)
    # Whether the request asks OpenRouter for more than one model.
    any_model: bool = False
    # What is counted when the bytes are too many; b"" when that was done, or is not worth it.
    text: bytes = field(default=b"", repr=False)

    async def narrowed(self) -> bool:
        """Have the text counted; False when that told nothing new. A text of some size is counted in a thread."""
        if not self.text or len(self.text) > COUNTED:
            return False
        if len(self.text) <= COUNTED_AT_ONCE:
            return self.narrow()
        return await asyncio.to_thread(self.narrow)

    def narrow(self) -> bool:
        """Count the text; whether that told anything new."""
        text, self.text = self.text, b""
        size = len(text)
        counted = min(size, max(2 * tokens.count_all(text.decode()), -(-size // 3))) if text else size
        self.tokens -= size - counted
        return counted < size


def size_of(body: dict[str, Any]) -> Size:
    """How large the OpenAI-shaped request `body` is at most."""
    written = _written(body)
    size = Size(len(written), text=written)
    messages = body.get("messages")
    if type(messages) is list:
        for message in messages:
            content = message.get("content") if type(message) is dict else None
            if type(content) is list:
                _measure(content, size)
    _measure_answer(body, size)
    audio = size.rates[2] or b'"audio"' in written or b'"input_audio"' in written
    size.rates = (body.get("service_tier") not in ("default", "flex"), b'"1h"' in written, audio)
    if any(body.get(name) for name in _FILLING) or _has_tools_of_theirs(body.get("tools")):
        size.fills = True
    size.any_model = bool(body.get("models") or body.get("plugins"))
    return size


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # orjson reads what is 1024 deep, and writes what is 254 deep
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _measure(content: list[Any], size: Size) -> None:
    """Take a message's parts into account; their JSON is counted already."""
    for part in content:
        kind = part.get("type") if type(part) is dict else None
        if kind == "image_url":
            image = part.get("image_url")
            url = image.get("url") if type(image) is dict else image
            if type(url) is str and url.startswith("data:"):
                if not url.startswith("data:image/"):
                    size.fills = True
                size.tokens -= len(url)
                size.text = b""
            size.images += 1
        elif type(part) is dict and kind not in _KNOWN_PARTS:
            size.fills = True


def _measure_answer(body: dict[str, Any], size: Size) -> None:
    limits = [_positive(body.get(name)) for name in ("max_completion_tokens", "max_tokens")]
    stated = [limit for limit in limits if limit]
    size.output = max(stated) if stated else None
    size.answers = max(_positive(body.get("n")) or 1, _positive(body.get("best_of")) or 1)
    if body.get("prediction"):
        size.predicted = len(orjson.dumps(body["prediction"]))


def _positive(value: Any) -> int:
    """`value` as a number that some server may read it as; 0 for none."""
    if type(value) is str and value.isdecimal() and len(value) < 10:
        value = int(value)
    if type(value) is float and 0 < value < LARGEST:
        value = int(value) + 1
    return value if type(value) is int and value > 0 else 0


def _has_tools_of_theirs(tools: Any) -> bool:
    """Whether the request has tools that the provider itself runs."""
    if type(tools) is not list:
        return False
    return any(type(tool) is dict and tool.get("type", "function") not in _OWN_TOOLS for tool in tools)


def bound(target: Target, size: Size) -> int | None:
    """Picodollars that a request of that size costs at `target` at most; None where that cannot be told."""
    facts = target.facts
    price = facts.price
    if not price.known:
        return 0 if target.local else None
    if price.free:
        return 0
    if target.kind.id == "openrouter" and size.any_model:
        return None  # another model may answer, at its own price
    into = FRAME + size.tokens
    if size.images:
        into += size.images * (IMAGE_4O_MINI if "4o-mini" in target.model.lower() else IMAGE)
    if size.fills:
        into += facts.context_window or LARGEST
    out = size.output
    if out is None:
        out = facts.max_output or facts.context_window or LARGEST
    out = out * size.answers + size.predicted
    input_rate, output_rate = _ceiling(target, size.rates, into)
    return -(-(into * input_rate + out * output_rate) // _PER_PICO)


# By least tokens of the prompt, ascending: the dearest rates up to there, each in units of 1e-20 USD.
Steps = tuple[tuple[int, int, int], ...]


def _ceiling(target: Target, rates: tuple[bool, bool, bool], prompt: int) -> tuple[int, int]:
    ceilings: dict[tuple[bool, bool, bool], Steps] = target.prepared.setdefault("ceilings", {})
    steps = ceilings.get(rates)
    if steps is None:
        steps = ceilings[rates] = _steps(target.facts.price, *rates)
    found = steps[0]
    for step in steps[1:]:
        if prompt < step[0]:
            break
        found = step
    return found[1], found[2]


def _steps(price: Price, any_tier: bool, an_hour: bool, audio: bool) -> Steps:
    ladders = [price.standard]
    if any_tier:
        ladders += price.service_tiers.values()
    steps = [step for ladder in ladders for step in ladder]
    if price.off_peak is not None:
        steps.append((0, price.off_peak.rates))
    steps.sort(key=lambda step: step[0])
    found: dict[int, tuple[int, int, int]] = {}
    into = out = 0
    for least, rates in steps:
        into = max(into, _dearest_input(rates, an_hour, audio))
        out = max(out, _dearest_output(rates, audio))
        found[least] = (least, into, out)
    return tuple(found.values())


def _dearest_input(rates: Rates, an_hour: bool, audio: bool) -> int:
    every = [rates.input, rates.cached_input, rates.cache_write]
    every += [rates.cache_write_1h] if an_hour else []
    every += [rates.audio_input] if audio else []
    return _units(max(every))


def _dearest_output(rates: Rates, audio: bool) -> int:
    return _units(max([rates.output, rates.reasoning, *([rates.audio_output] if audio else [])]))


def _units(rate: Decimal) -> int:
    return int(rate.scaleb(_RATE_PLACES))
