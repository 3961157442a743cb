"""What is measured in a request: its size, what is asked in its last turn, and in which words.

Cost is bounded by construction: however large the body, at most two windows of `WINDOW` characters are looked at
closely, by methods of str and bytes that run in C. Of the rest of the conversation only lengths are added up.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from routing.endpoints import CHAT, Endpoint
from routing.instruction import LEAD, QUESTIONS, WINDOW, commands, may_claim, split, without_choices, without_claims
from routing.lexicon import LEADS, unpacked
from routing.wording import CHARACTERS_PER_TOKEN, estimate_tokens, hits_of, script_of, words_of

# What an image costs with the providers that state it: about a picture of 1024 by 1024.
IMAGE_TOKENS = 765
# What a tool's schema takes besides its description: its name and its parameters.
TOOL_TOKENS = 40

# A turn up to this length may only ask to go on.
FOLLOW_UP = 28
# How much of a system prompt is looked at.
SYSTEM_WINDOW = 400

_DIGITS, _CODE, _COMMA, _FORMULA = b"0123456789", b"{}[]();=<>_|`", b",;:", b"=^+"
# A text has few of these, so all else is taken out, and those that count alike become one. `=` and `;` count twice.
_NO_SIGNS = bytes(sorted(frozenset(range(256)) - frozenset(_DIGITS + _CODE + _COMMA + _FORMULA + b"?\n")))
_ALIKE = bytes.maketrans(_DIGITS + b"}[]()<>_|`" + b":" + b"^", b"0" * 10 + b"{" * 10 + b"," + b"+")
# Signs of formulas outside ASCII: Greek, arrows, operators, indices, squares.
_NOTATION = (
    b"\xce",
    b"\xcf",
    b"\xe2\x86",
    b"\xe2\x88",
    b"\xe2\x89",
    b"\xe2\x8a",
    b"\xe2\x81",
    b"\xe2\x82",
    b"\xc2\xb2",
)
_COMMAS = {"zh": "、\uff0c\uff1b\uff1a", "ja": "、\uff0c\uff1a", "ar": "،؛"}

# Turns that ask for nothing themselves: what the turn before them asked still holds.
_CONTINUE = re.compile(
    r"(?:please |yes,? |ok,? |now )?(?:continue|go on|keep going|go ahead|do it|(?:try )?again|more|why|how|yes)"
    r"(?: please)?|(?:bitte )?(?:mach )?weiter|nochmal|continúa|sigue(?: por favor)?|otra vez|continue s'il te plaît"
    r"|请?继续|再来|続けて(?:ください)?|もう一度|تابع|أكمل|استمر"
)


@dataclass(slots=True)
class Features:
    """Counts are of what is asked in the last turn unless they say otherwise. Explain shows them by these names."""

    # Sizes in tokens, estimated: of the whole request, of what is asked, of the alternatives
    # to choose from, of what is pasted beside it.
    prompt_tokens: int = 0
    ask_tokens: int = 0
    choice_tokens: int = 0
    material_tokens: int = 0
    system_tokens: int = 0
    messages: int = 0
    tools: int = 0
    images: int = 0
    attachments: int = 0
    json_wanted: bool = False
    # latin (ASCII), accented, zh, ja, ar, or other: an alphabet of which only few words are known.
    language: str = "latin"
    # Distinct graded words (routing/lexicon.py).
    asks_plain: int = 0
    asks_simple: int = 0
    asks_moderate: int = 0
    asks_complex: int = 0
    asks_expert: int = 0
    terms_everyday: int = 0
    terms_working: int = 0
    terms_technical: int = 0
    terms_research: int = 0
    cues_brief: int = 0
    cues_steps: int = 0
    cues_constraint: int = 0
    cues_universal: int = 0
    cues_condition: int = 0
    cues_negation: int = 0
    cues_reasoning: int = 0
    cues_trouble: int = 0
    cues_deictic: int = 0
    # The grade of the first graded ask among the first words, 1 simple to 4 expert, or 0.
    lead: int = 0
    # Of the system prompt: whether it wants a bare value or label.
    system_simple: int = 0
    # The form of the text: letters to a word, and how many there are of the rest.
    word_length: float = 0.0
    questions: int = 0
    commas: int = 0
    digits: int = 0
    capitals: int = 0
    notation: int = 0
    # What code has and prose has not, in what is asked and in the beginning of the material.
    code_signs: int = 0
    indented: int = 0


def measure(endpoint: Endpoint, body: dict[str, Any]) -> Features:
    """The features of a request's body. Raises nothing, whatever the members of `body` hold."""
    found = Features()
    if endpoint.content == CHAT.content:  # that of `/chat` is another endpoint, and the same request
        system, last, before = _read_messages(found, body.get("messages"))
        if len(last) <= FOLLOW_UP and _CONTINUE.fullmatch(last.strip(" .!?…。").lower()):
            last = before
    else:
        system = ""
        last = _read_prompt(found, body.get(endpoint.content))
    _read_options(found, body)
    if _read_turn(found, last, system):
        _read_turn(found, without_claims(last), system)
    return found


def _read_turn(found: Features, last: str, system: str) -> bool:
    """Read the user's last turn. Whether it may claim a tier, so that it is to be read again without."""
    found.language = script_of(last)
    if found.system_simple > 1 and not commands(last, found.language):
        # What to do stands in the system prompt: the turn is the material.
        ask, material = system[:SYSTEM_WINDOW], last[:WINDOW]
        found.language = script_of(ask)
    else:
        ask, material = split(last, found.language)
    beside = max(len(last) - len(ask), len(material))
    found.material_tokens = estimate_tokens(material, beside) if material else 0
    return _read_ask(found, ask, material)


def _read_messages(found: Features, messages: Any) -> tuple[str, str, str]:
    """The system prompt, the user's last turn and the one before it; and the sizes of the whole conversation."""
    if type(messages) is not list:
        return "", "", ""
    system = last = before = ""
    found.messages = len(messages)
    characters, tokens = 0, 0
    for message in messages:
        if type(message) is not dict:
            continue
        text = message.get("content")
        if type(text) is not str:
            text = _parts(found, text)
        if text.isascii():
            characters += len(text)
        else:
            tokens += estimate_tokens(text)
        if "tool_calls" in message:
            characters += _call_characters(message["tool_calls"])
        role = message.get("role")
        if role == "user":
            if text:
                before, last = last, text
        elif role in ("system", "developer"):
            found.system_tokens += estimate_tokens(text)
            system = text
    if system:  # the last one: there is no end of how many a body may have
        found.system_simple = _wants_a_value(system[:SYSTEM_WINDOW])
    found.prompt_tokens = tokens + (characters + 3) // CHARACTERS_PER_TOKEN + found.images * IMAGE_TOKENS
    return system, last, before


def _parts(found: Features, parts: Any) -> str:
    """The text of a content's parts, images and other attachments counted."""
    if type(parts) is not list:
        return ""
    for part in parts:
        kind = part.get("type") if type(part) is dict else None
        if kind in ("image_url", "input_image", "image"):
            found.images += 1
        elif kind in ("input_audio", "audio", "video", "file"):
            found.attachments += 1
    return _joined(parts)


def _joined(parts: Any) -> str:
    if type(parts) is not list:
        return ""
    return "\n\n".join([part["text"] for part in parts if type(part) is dict and type(part.get("text")) is str])


def _call_characters(calls: Any) -> int:
    if type(calls) is not list:
        return 0
    functions = [call.get("function") for call in calls if type(call) is dict]
    arguments = [function.get("arguments") for function in functions if type(function) is dict]
    return sum(len(argument) for argument in arguments if type(argument) is str)


@lru_cache(maxsize=256)
def _wants_a_value(system: str) -> int:
    """How many words of a system prompt's beginning want a bare value or label. Applications often send the same."""
    hits = unpacked(hits_of(system, script_of(system)))
    return hits[1] + hits[9]


def _read_prompt(found: Features, prompt: Any) -> str:
    """The text of a completion's prompt: a string, strings, token ids, or lists of token ids."""
    if type(prompt) is str:
        found.prompt_tokens, found.messages = estimate_tokens(prompt), 1
        return prompt
    if type(prompt) is not list:
        return ""
    texts = [part for part in prompt if type(part) is str]
    ids = sum(len(part) if type(part) is list else type(part) is int for part in prompt)
    found.messages = len(texts) or 1
    # Together: of a million texts of a letter, each would be sampled for itself.
    found.prompt_tokens = ids + estimate_tokens("".join(texts))
    return texts[-1] if texts else ""


def _read_options(found: Features, body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if type(tools) is list and tools:
        found.tools = len(tools)
        functions = [tool.get("function") for tool in tools if type(tool) is dict]
        descriptions = [function.get("description") for function in functions if type(function) is dict]
        characters = sum(len(text) for text in descriptions if type(text) is str)
        found.prompt_tokens += characters // CHARACTERS_PER_TOKEN + TOOL_TOKENS * found.tools
    wanted = body.get("response_format")
    if type(wanted) is dict:
        found.json_wanted = wanted.get("type") in ("json_object", "json_schema")


def _read_ask(found: Features, ask: str, material: str) -> bool:
    """Count the words, characters and signs of what is asked. Whether it has words by which a tier may be claimed."""
    if "```" in ask:
        # Code has words of its own.
        material += ask
        ask = f"{ask.partition('```')[0]}\n{ask.rpartition('```')[2]}"
    whole = ask.encode("utf-8", "replace")
    signs = whole.translate(_ALIKE, _NO_SIGNS)
    line_ends = signs.count(b"\n")
    found.word_length = len(whole) / (whole.count(b" ") + line_ends + 1) - 1
    found.indented = _indented(whole) if line_ends else 0
    found.digits, found.code_signs = signs.count(b"0"), _code_signs(signs)
    ask, choices = without_choices(ask) if line_ends > 1 else (ask, "")
    spaced = words_of(ask, found.language)
    hits = hits_of(ask, found.language, spaced)
    found.ask_tokens, found.choice_tokens = estimate_tokens(ask), estimate_tokens(choices)
    _count_words(found, hits, spaced[:LEAD])
    if choices:
        whole = whole[: len(whole) - len(choices)]
        signs = whole.translate(_ALIKE, _NO_SIGNS)
    _count_signs(found, ask, whole, signs)
    if material:
        pasted = material.encode("utf-8", "replace")
        found.code_signs += _code_signs(pasted.translate(_ALIKE, _NO_SIGNS))
        found.indented += _indented(pasted)
    return may_claim(hits)


def _code_signs(signs: bytes) -> int:
    return signs.count(b"{") + signs.count(b"=") + signs.count(b";")


def _indented(text: bytes) -> int:
    """Lines that begin with a tab or two spaces."""
    spaces = text.count(b"\n  ")
    return spaces + text.count(b"\n\t") if b"\t" in text else spaces


def _count_signs(found: Features, ask: str, encoded: bytes, signs: bytes) -> None:
    found.questions = signs.count(b"?")
    found.commas = signs.count(b",") + signs.count(b";")
    found.notation = signs.count(b"+") + signs.count(b"=")
    if found.language != "latin":
        found.questions += sum([ask.count(mark) for mark in QUESTIONS[1:]])
        found.commas += sum([ask.count(mark) for mark in _COMMAS.get(found.language, "")])
        found.notation += sum([encoded.count(sign) for sign in _NOTATION])


def _count_words(found: Features, hits: int, leading: list[bytes]) -> None:
    (
        found.asks_plain,
        found.asks_simple,
        found.asks_moderate,
        found.asks_complex,
        found.asks_expert,
        found.terms_everyday,
        found.terms_working,
        found.terms_technical,
        found.terms_research,
        found.cues_brief,
        found.cues_steps,
        found.cues_constraint,
        found.cues_universal,
        found.cues_condition,
        found.cues_negation,
        found.cues_reasoning,
        found.cues_trouble,
        found.cues_deictic,
    ) = unpacked(hits)
    for word in leading:
        if word in LEADS:
            found.lead = LEADS[word]
            break
