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
Times `n`, and the number of prompts where a legacy completion has several. A rejected prediction is billed as output,
too.

Rates. The dearest that may apply: written to a cache, at a priority tier unless the request says which tier it wants,
at any length up to the bound, reasoning and audio. What is not billed per token (searches, sessions) is in no price
here; OpenRouter and xAI put it in the bill they report, which is entered as it is, also where it exceeds the bound.
"""

import asyncio
import contextlib
import itertools
import json
import math
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

# More than any budget can be, and still exact in a till that reckons in doubles: a request may name any number.
_MOST: Final = 10**26

# Digits that nobody reads as a number any more, Python among them.
_LONGEST_NUMBER: Final = 4301

# Rates have 20 decimal places at most (`analytics.pricing`), picodollars are 12.
_RATE_PLACES: Final = 20
_PER_PICO: Final = 10**8

_KNOWN_PARTS: Final = frozenset({"text", "refusal", "image_url", "input_audio", "thinking", "redacted_thinking"})
_ONE_TIER: Final = ("default", "flex")
_OWN_TOOLS: Final = frozenset({"function", "custom"})
# Fields by which a provider searches, or otherwise fills the prompt by itself.
_FILLING: Final = frozenset({"web_search_options", "plugins", "search_parameters", "mcp_servers", "container"})


@dataclass(slots=True)
class Size:
    """What of a request bounds its cost, whoever is asked. `tokens` are of the input, `output` of one answer."""

    tokens: int
    # The request's JSON; and what of it is counted when its bytes are too many, b"" when that was done, or is not worth
    # it.
    written: bytes = field(default=b"", repr=False)
    text: bytes = field(default=b"", repr=False)
    images: int = 0
    # Whether the prompt may fill the window.
    fills: bool = False
    # None: nothing was asked for.
    output: int | None = None
    answers: int = 1
    # Billed as output besides: a prediction.
    predicted: int = 0
    # Whether any service tier's rates may apply, or the request excludes that.
    any_tier: bool = True
    # Whether the request speaks of caching for an hour, or of audio: ("1h", "audio"). None: nobody had to know.
    special: tuple[bool, bool] | None = None
    # Whether the request asks OpenRouter for more than one model.
    any_model: bool = False

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


def size_of(body: dict[str, Any], written: bytes = b"") -> Size:
    """How large the OpenAI-shaped request `body` is at most; `written` is its JSON, if somebody has it."""
    written = written or _written(body)
    size = Size(len(written), written, written)
    messages = body.get("messages")
    if type(messages) is list:
        for message in messages:
            content = message.get("content") if type(message) is dict else None
            if type(content) is list:
                _measure(content, size)
    measure_answer(body, size)
    size.any_tier = body.get("service_tier") not in _ONE_TIER
    if not _FILLING.isdisjoint(body) or ("tools" in body and _has_tools_of_theirs(body["tools"])):
        size.fills = True
    size.any_model = "models" in body or "plugins" in body
    return size


def _written(body: Any) -> bytes:
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


def measure_answer(body: dict[str, Any], size: Size) -> None:
    """Fill in how long the request's answers may be, and how many there may be of it."""
    output = _positive(body.get("max_tokens"))
    if "max_completion_tokens" in body:
        output = max(output, _positive(body["max_completion_tokens"]))
    size.output = output or None
    if "n" in body or "best_of" in body:
        size.answers = max(_answers(body.get("n")), _answers(body.get("best_of")))
    if (
        "prompt" in body and type(prompts := body["prompt"]) is list and {*map(type, prompts)} != {int}
    ):  # not the tokens of one
        size.answers *= max(1, len(prompts))
    if body.get("prediction"):
        size.predicted = len(_written(body["prediction"]))


def longest_answer(body: dict[str, Any]) -> int | None:
    """How many completion tokens all answers to the request `body` have at most; None when it does not say."""
    size = Size(0)
    measure_answer(body, size)
    return None if size.output is None else size.output * size.answers + size.predicted


def _answers(value: Any) -> int:
    """How many answers some server may read `value` as: there are such that take `" +1_0"` for a number."""
    if type(value) is str and len(value) < _LONGEST_NUMBER:
        with contextlib.suppress(ValueError):
            value = float(value)
    if type(value) is float and value > 1:
        value = math.ceil(min(value, _MOST))
    return value if type(value) is int and value > 1 else 1


def _positive(value: Any) -> int:
    """`value` as a number that some server may read it as; 0 for none."""
    if value is None:
        return 0
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
    if target.kind.id == "openrouter" and (size.any_model or (price.free and size.fills)):
        return None  # another model may answer, at its own price, and searches are paid for with models that are free
    if price.free:
        return 0
    into = FRAME + size.tokens
    if size.images:
        into += size.images * (IMAGE_4O_MINI if "4o-mini" in target.model.lower() else IMAGE)
    if size.fills:
        into += facts.context_window or LARGEST
    out = size.output
    if out is None:
        out = facts.max_output or facts.context_window or LARGEST
    out = out * size.answers + size.predicted
    input_rate, output_rate = _ceiling(target, size, into)
    most = -(-(into * input_rate + out * output_rate) // _PER_PICO)
    return most if most < _MOST else _MOST


# By least tokens of the prompt, ascending: the dearest rates up to there, each in units of 1e-20 USD.
Steps = tuple[tuple[int, int, int], ...]
# By whether a request speaks of caching for an hour, and of audio; None where that changes nothing.
Special = dict[tuple[bool, bool], Steps] | None


def _ceiling(target: Target, size: Size, prompt: int) -> tuple[int, int]:
    """The dearest rates of input and output. They are made once for a target: for one service tier, and for any."""
    ceilings: tuple[tuple[Steps, Special], ...] | None = target.prepared.get("ceilings")
    if ceilings is None:
        price = target.facts.price
        ceilings = target.prepared["ceilings"] = _ceilings(price, False), _ceilings(price, True)
    steps, special = ceilings[size.any_tier]
    if special is not None:
        if size.special is None:
            # "audio" as a modality or a field, "input_audio" as a part.
            size.special = (b'"1h"' in size.written, b'audio"' in size.written)
        steps = special[size.special]
    found = steps[0]
    for step in steps:
        if prompt < step[0]:
            break
        found = step
    return found[1], found[2]


def _ceilings(price: Price, any_tier: bool) -> tuple[Steps, Special]:
    plain = _steps(price, any_tier, False, False)
    special = {
        (an_hour, audio): _steps(price, any_tier, an_hour, audio)
        for an_hour, audio in itertools.product((False, True), repeat=2)
    }
    return plain, None if all(steps == plain for steps in special.values()) else special


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
