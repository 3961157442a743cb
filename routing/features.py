"""What is measured in a request: its size, what is asked in its last turn, and in which words.

Cost is bounded by construction: however large the body, at most two windows of `WINDOW` characters are looked at
closely, by methods of str and bytes that run in C. Of the rest of the conversation only lengths are added up.
"""

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from routing.endpoints import CHAT, Endpoint
from routing.lexicon import KNOWN, LEADS, NEEDLES, PLAIN, STEM, STEMS, WORDS, unpacked

# Characters to a token in Latin script. A Chinese or Japanese character is about a token.
CHARACTERS_PER_TOKEN = 4
# What an image costs with the providers that state it: about a picture of 1024 by 1024.
IMAGE_TOKENS = 765
# What a tool's schema takes besides its description: its name and its parameters.
TOOL_TOKENS = 40

# The most that is looked at of each of a text's two ends.
WINDOW = 400
# A first or last paragraph this short beside a text this long may ask something of the text.
SHORT, LONG = 240, 200
# A first or last sentence this short may ask for a fact of a text at least this long.
SENTENCE = 140
# A quotation from this length on is material too.
QUOTED = 60
# A character of Chinese or Japanese says as much as this many letters.
DENSITY = 3
# A request's verb stands among its first words.
LEAD = 3
LEADING = 48
# A turn up to this length may only ask to go on.
FOLLOW_UP = 28
# How much of a system prompt is looked at.
SYSTEM_WINDOW = 400

_SEPARATORS = bytes(range(33)) + b'!"#$%&()*,-./:;<=>?@[\\]^_`{|}~\x7f'
_UPPER, _DIGITS, _CODE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789", b"{}[]();=<>_|`"
# The first bytes, in UTF-8, of Chinese, Japanese and Korean characters; of Arabic letters; of any but Latin and Greek.
_WIDE_LEADS, _ARABIC_LEADS, _OTHER_LEADS = bytes(range(0xE3, 0xEE)), bytes(range(0xD8, 0xDC)), bytes(range(0xD0, 0xE2))
_KANA = (b"\xe3\x81", b"\xe3\x82", b"\xe3\x83")
# To lower case, with words apart; `_ASCII_WORDS` also takes out what is not ASCII.
_LATIN_WORDS = bytes(32 if code in _SEPARATORS else code + 32 if code in _UPPER else code for code in range(256))
_ASCII_WORDS = bytes(code if code < 128 else 32 for code in _LATIN_WORDS)
# Punctuation outside ASCII that would stick to words.
_QUOTES = tuple(mark.encode() for mark in "«»“”„\u2018\u2019\u2013—…¿¡·")
_QUOTATIONS = (('"', '"'), ("“", "”"), ("«", "»"), ("„", "“"), ("「", "」"), ("『", "』"))
# Where a line or a sentence ends.
_ENDS = ("\n", ". ", "? ")
_WIDE_ENDS = ("\n", ". ", "? ", "。", "\uff1f")
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
_QUESTIONS = ("?", "\uff1f", "؟")
_COMMAS = {"zh": "、\uff0c\uff1b\uff1a", "ja": "、\uff0c\uff1a", "ar": "،؛"}

# How the first alternatives of a multiple choice begin.
_CHOICES = (("\nA. ", "\nB. "), ("\nA) ", "\nB) "), ("\n(A) ", "\n(B) "), ("\na) ", "\nb) "))

# A tier claimed in the prompt is no evidence: the sentence is taken out.
_CLAIM_WORDS = frozenset(
    (b"expert", b"complex", b"difficult", b"hard", b"simple", b"moderate", b"reasoning", b"effort")
)
_CLAIMING = frozenset(
    b"treat classify route rate mark label consider handle regard mode level tier complexity reasoning effort".split()
)
_TIER = r"(?:expert|complex|difficult|hard|simple|moderate)"
_CLAIM = re.compile(
    r"(?:please )?\b(?:treat|classify|route|rate|mark|label|consider|handle|regard) (?:this|it|that|the|my)\b"
    rf"[^.!?\n]{{0,40}}\b{_TIER}\b(?: (?:request|task|question|prompt|one))?[.!]*"
    rf"|(?:this is an? )?\b{_TIER}[ -](?:mode|level|tier|complexity)\b(?: (?:request|task|question|prompt))?[.!]*"
    r"|\bEXPERT\b[^.!?\n]{0,40}\bLEVEL\b[.!]*"
    r"|\b(?:deep|maximum|max)[ -](?:reasoning|effort)\b(?: (?:required|needed|please))?[.!]*",
    re.IGNORECASE,
)
_TIERS = re.compile(rf"{_TIER}|effort|reasoning", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\. |\n|。")
_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]*")
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
    # latin (ASCII), accented, zh, ja, ar, or other: an alphabet for which there are no words.
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
        _read_turn(found, _without_claims(last), system)
    return found


def _read_turn(found: Features, last: str, system: str) -> bool:
    """Read the user's last turn. Whether it may claim a tier, so that it is to be read again without."""
    found.language = _script(last)
    if found.system_simple > 1 and not _commands(last, found.language):
        # What to do stands in the system prompt: the turn is the material.
        ask, material = system[:SYSTEM_WINDOW], last[:WINDOW]
        found.language = _script(ask)
    else:
        ask, material = _split(last, found.language)
    beside = max(len(last) - len(ask), len(material))
    found.material_tokens = estimate_tokens(material, beside) if material else 0
    return _read_ask(found, ask, material)


def _without_claims(text: str) -> str:
    if len(text) <= 2 * WINDOW:
        return _unclaimed(text).strip()
    # Only what is looked at.
    return f"{_unclaimed(text[:WINDOW]).lstrip()}{text[WINDOW:-WINDOW]}{_unclaimed(text[-WINDOW:]).rstrip()}"


def _unclaimed(text: str) -> str:
    sentences = _SENTENCE.findall(text)
    return "".join([_CLAIM.sub("", sentence) if _TIERS.search(sentence) else sentence for sentence in sentences])


def estimate_tokens(text: str, size: int = -1) -> int:
    """About how many tokens `text` has, or a text of `size` characters like it. Looks at a thousand characters."""
    if size < 0:
        size = len(text)
    if text.isascii():
        return (size + 3) // CHARACTERS_PER_TOKEN
    sample = text if len(text) <= 1000 else text[:500] + text[-500:]
    encoded = sample.encode("utf-8", "replace")
    wide = len(encoded) - len(encoded.translate(None, _WIDE_LEADS))
    # An accent, or a letter of another alphabet, is more than the quarter of a token that an ASCII letter is.
    more = max(len(encoded) - len(sample) - 2 * wide, 0) * 0.15
    return max(round((wide + (len(sample) - wide) / CHARACTERS_PER_TOKEN + more) * size / len(sample)), 1)


def _read_messages(found: Features, messages: Any) -> tuple[str, str, str]:
    """The system prompt, the user's last turn and the one before it; and the sizes of the whole conversation."""
    if type(messages) is not list:
        return "", "", ""
    system = ""
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
        if message.get("role") in ("system", "developer"):
            found.system_tokens += estimate_tokens(text)
            system = text
    _read_system(found, system)  # the last one: there is no end of how many a body may have
    found.prompt_tokens = tokens + (characters + 3) // CHARACTERS_PER_TOKEN + found.images * IMAGE_TOKENS
    turns = _user_turns(messages)
    return system, next(turns, ""), next(turns, "")


def _user_turns(messages: list[Any]) -> Iterator[str]:
    """The texts of the user's turns, the last first."""
    for message in reversed(messages):
        if type(message) is dict and message.get("role") == "user":
            content = message.get("content")
            text = content if type(content) is str else _joined(content)
            if text:
                yield text


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


def _read_system(found: Features, text: str) -> None:
    if not text:
        return
    window = text[:SYSTEM_WINDOW]
    hits = unpacked(_hits(window, _script(window)))
    found.system_simple = hits[1] + hits[9]


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


def _script(text: str) -> str:
    """latin, accented, zh, ja, ar or other, by the beginning of `text`."""
    if text.isascii():
        return "latin"
    sample = text[:WINDOW]
    size = len(sample)
    encoded = sample.encode("utf-8", "replace")
    wide = len(encoded) - len(encoded.translate(None, _WIDE_LEADS))
    if wide * 5 > size:
        return "ja" if sum([encoded.count(lead) for lead in _KANA]) * 20 > wide else "zh"
    if (len(encoded) - len(encoded.translate(None, _ARABIC_LEADS))) * 5 > size:
        return "ar"
    return "other" if (len(encoded) - len(encoded.translate(None, _OTHER_LEADS))) * 5 > size else "accented"


def _split(text: str, language: str) -> tuple[str, str]:
    """What is asked in `text`, and the beginning of the material that it is about: pasted articles, logs, code."""
    scale = DENSITY if language in ("zh", "ja") else 1
    if len(text) * scale <= SHORT:
        return _unquoted(text, scale)
    window = WINDOW // scale
    head, tail = text[:window], text[-window:].rstrip()
    first, last = head.partition("\n\n")[0], tail.rpartition("\n\n")[2]
    pasted = (len(text) - len(first) - len(last)) * scale
    if len(first) * scale <= SHORT and pasted + len(last) * scale >= LONG and _only_reads(first, language):
        closing = last if len(last) * scale <= SHORT and "?" in last else ""
        return f"{first}\n{closing}", text[len(first) : window]
    # A first paragraph that asks for more is not material.
    opens = len(first) * scale <= 2 * SHORT and _questions(first)
    closes = len(last) * scale <= SHORT and pasted + len(first) * scale >= LONG and not opens
    if closes and _commands(last, language) and _only_reads(last, language):
        return last, head
    for short, rest in _ends(head, tail):
        if len(short) * scale > SENTENCE or not _commands(short, language) or _questions(rest):
            continue
        if _only_looks_up(short, language) and not any(unpacked(_hits(rest, language))[3:5]):
            return short, rest
    short, rest = _first_question(head)
    if rest and _only_asks_a_fact(short, language) and not _orders(rest, language):
        return short, rest
    if len(text) <= 2 * window:
        return _unquoted(text, scale)
    return f"{head}\n{tail}", text[window : 2 * window]


def _unquoted(text: str, scale: int) -> tuple[str, str]:
    """`text` without what it quotes at length, and the quotation."""
    for opening, closing in _QUOTATIONS if not text.isascii() else _QUOTATIONS[:1]:
        start = text.find(opening)
        end = text.rfind(closing)
        if start >= 0 and (end - start) * scale >= QUOTED:
            return f"{text[:start]} {text[end + 1 :]}", text[start:end]
    return text, ""


def _only_reads(paragraph: str, language: str) -> bool:
    """Whether a paragraph asks for something for which the rest is read, but not worked through."""
    plain, simple, moderate, hard, harder = unpacked(_hits(paragraph, language))[:5]
    if hard + harder > max(simple + moderate, 1):
        return False
    return plain + simple + moderate > 0 or _questions(paragraph)


def _ends(head: str, tail: str) -> Iterator[tuple[str, str]]:
    """The first and the last line of a text, then the first and the last sentence; each with what lies beside it."""
    marks = _ENDS if head.isascii() else _WIDE_ENDS
    for mark in marks:
        start = head.find(mark, 0, SENTENCE + 1)
        if start > 0:
            yield head[: start + 1], head[start + 1 :]
    for mark in marks:
        end = tail.rfind(mark, max(len(tail) - SENTENCE - 2, 0), len(tail) - 1)
        if end > 0:
            yield tail[end + 1 :], tail[:end]


def _only_looks_up(sentence: str, language: str) -> bool:
    """Whether a sentence asks for nothing but a fact, a value or a label."""
    hits = unpacked(_hits(sentence, language))
    simple, moderate, hard = hits[1], hits[2], hits[3] + hits[4]
    if hard or moderate > simple:
        return False
    # "What is the notice period in this contract?"
    return simple > 0 or (hits[-1] > 0 and _questions(sentence))


def _first_question(head: str) -> tuple[str, str]:
    """The question with which a text begins, and what follows it."""
    end = head.find("?", 0, SENTENCE)
    if end < 0 and not head.isascii():
        end = max(head.find(_QUESTIONS[1], 0, SENTENCE), head.find(_QUESTIONS[2], 0, SENTENCE))
    short, rest = head[: end + 1], head[end + 1 :]
    if end < 0 or len(rest) < SENTENCE or _questions(rest):
        return "", ""
    return short, rest


def _only_asks_a_fact(question: str, language: str) -> bool:
    """Whether a question wants what, who, when or where, and neither why nor how."""
    hits = unpacked(_hits(question, language))
    return not (any(hits[2:5]) or hits[8] or hits[7] > 1 or hits[15] or any(hits[11:14]))


def _orders(text: str, language: str) -> bool:
    """Whether a sentence of `text` begins with what is to be done."""
    starts = [_words(sentence[:LEADING], language)[:1] for sentence in _SENTENCE_END.split(text)]
    return any(word in LEADS or word in PLAIN for start in starts for word in start)


def _commands(paragraph: str, language: str) -> bool:
    """Whether a paragraph is a question, or begins with what is to be done."""
    if _questions(paragraph):
        return True
    if language in NEEDLES:
        return any(unpacked(_hits(paragraph[:SHORT], language))[:5])
    return any(word in LEADS or word in PLAIN for word in _words(paragraph[:LEADING], language)[:LEAD])


def _questions(paragraph: str) -> bool:
    return "?" in paragraph or (not paragraph.isascii() and (_QUESTIONS[1] in paragraph or _QUESTIONS[2] in paragraph))


def _words(text: str, language: str) -> list[bytes]:
    """The words of `text` that are written in Latin letters, in lower case."""
    if language == "latin":
        return text.encode().translate(_LATIN_WORDS).split()
    if language == "accented":
        encoded = text.lower().encode("utf-8", "replace")
        for mark in _QUOTES:
            if mark in encoded:
                encoded = encoded.replace(mark, b" ")
        return encoded.translate(_LATIN_WORDS).split()
    return text.encode("utf-8", "replace").translate(_ASCII_WORDS).split()


def _hits(text: str, language: str, spaced: list[bytes] | None = None) -> int:
    """The hits of the graded words in `text`, packed; `spaced` are its words where they are known."""
    if spaced is None:
        spaced = _words(text, language)
    known = KNOWN.intersection(spaced)
    hits = sum(map(WORDS.__getitem__, known))
    if language == "accented":
        stems = {word[:STEM] for word in spaced if word not in known}
        hits += sum([STEMS[stem] for stem in STEMS.keys() & stems])
    elif language in NEEDLES:
        needles = NEEDLES[language]
        text = f" {text.lower()} "
        for beginning in needles.keys() & set(map(operator.add, text, text[1:])):
            for needle, hit in needles[beginning]:
                if needle in text:
                    hits += hit
    return hits


def _read_ask(found: Features, ask: str, material: str) -> bool:
    """Count the words, characters and signs of what is asked. Whether it has words by which a tier may be claimed."""
    if "```" in ask:
        # Code has words of its own.
        material += ask
        ask = f"{ask.partition('```')[0]}\n{ask.rpartition('```')[2]}"
    whole = ask.encode("utf-8", "replace")
    found.word_length = len(whole) / (whole.count(b" ") + whole.count(b"\n") + 1) - 1
    found.digits = len(whole) - len(whole.translate(None, _DIGITS))
    ask, choices = _without_choices(ask)
    spaced = _words(ask, found.language)
    found.ask_tokens, found.choice_tokens = estimate_tokens(ask), estimate_tokens(choices)
    _count_words(found, _hits(ask, found.language, spaced), spaced[:LEAD])
    _count_signs(found, ask, whole[: len(whole) - len(choices)] if choices else whole)
    code = whole + material.encode("utf-8", "replace") if material else whole
    found.code_signs = len(code) - len(code.translate(None, _CODE))
    found.indented = code.count(b"\n  ") + code.count(b"\n\t")
    return not (_CLAIM_WORDS.isdisjoint(spaced) or _CLAIMING.isdisjoint(spaced))


def _count_signs(found: Features, ask: str, encoded: bytes) -> None:
    size = len(encoded)
    found.questions = encoded.count(b"?")
    found.commas = size - len(encoded.translate(None, b",;:"))
    found.notation = size - len(encoded.translate(None, b"=^+"))
    if found.language != "latin":
        found.questions += sum([ask.count(mark) for mark in _QUESTIONS[1:]])
        found.commas += sum([ask.count(mark) for mark in _COMMAS.get(found.language, "")])
        found.notation += sum([encoded.count(sign) for sign in _NOTATION])


def _without_choices(ask: str) -> tuple[str, str]:
    """What is asked, and the alternatives of a multiple choice: their words are not what is asked."""
    if ask.count("\n") > 1:
        for first, second in _CHOICES:
            start = ask.find(first)
            if start > 0 and ask.find(second, start) > 0:
                return ask[:start], ask[start:]
    return ask, ""


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
        found.cues_deictic,
    ) = unpacked(hits)
    for word in leading:
        if word in LEADS:
            found.lead = LEADS[word]
            break
