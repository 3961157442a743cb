"""Units of measure and money: a distance in miles does not answer a question for kilometres."""

import functools
import itertools
import re
from collections.abc import Iterator

from routing.cache.semantic.gates import lexicon
from routing.cache.semantic.gates.numbers import LARGE, SMALL
from routing.cache.semantic.gates.text import Prompt, found_in

# Signs and abbreviations that are units only right behind, or before, a number.
_BESIDE_NUMBERS = {
    "m": "metre", "g": "gram", "l": "litre", "s": "seconds", "h": "hour", "min": "minute", "in": "inch", "ft": "foot",
    "c": "celsius", "f": "fahrenheit", "b": "byte", "w": "watt", "v": "volt", "a": "amp", "t": "tonne", "d": "day",
    "k": "kelvin", "j": "joule", "n": "newton", "sec": "seconds", "hr": "hour", "hrs": "hour", "mins": "minute",
    "secs": "seconds", "oz": "ounce", "lb": "pound", "pt": "pint", "st": "stone", "second": "seconds", "p": "pence",
}  # fmt: skip
_BEHIND = re.compile(r"(?<![\w.])\d[\d.,]*\s?([A-Za-z]{1,6})\b")
_SIGNS = {
    "$": "dollar", "€": "euro", "£": "pound sterling", "¥": "yen", "₹": "rupee", "₺": "lira", "₽": "rouble", "₩": "won",
    "%": "percent", "℃": "celsius", "℉": "fahrenheit", "‰": "permille",
}  # fmt: skip
_DEGREES = re.compile(r"(?:°|degrees?)\s?([CFK])\b")
_SQUARED = re.compile(r"\b(square|cubic|sq|cu)\b\.?|[²³]", re.I)


_SQUARES = {"sq": "square", "²": "square", "cu": "cubic", "³": "cubic"}
_DEGREE = {"C": "celsius", "F": "fahrenheit", "K": "kelvin"}
_TEMPERATURES = frozenset({"celsius", "fahrenheit", "kelvin"})
_ASKED_FOR = frozenset({"year", "day", "month"})
_ASKED_FOR_SO = re.compile(r"\b(?:what|which)\s+(?:year|day|month)\b", re.I)
_BITS = re.compile(r"(?<![A-Za-z])([KMGT])b(?:it)?(?:/s|ps)?\b")
_FILE = "units.txt"
# A number with letters right behind it: "256Mi", "2em", "10km"; but for "1st", "1990s" and "50k". Of Korean units the
# first syllable, as others may be no part of them.
_ATTACHED = re.compile(r"(?<![\w.])\d[\d.,]*(?:([A-Za-zµ]{1,6})\b|([\uac00-\ud7af]))")
_NO_UNITS = frozenset({"st", "nd", "rd", "th", "s", "k", "m", "b", "bn", "x", "am", "pm", "er", "e", "ème"})
# Before a unit they make a rate of it.
_EACH = frozenset({"per", "each", "every", "pro", "je", "par", "chaque", "por", "cada", "al", "alla", "ogni", "elke"})


@functools.lru_cache(maxsize=2048)
def units(prompt: Prompt) -> frozenset[str]:
    """The units that `prompt` names, in any notation, each by one name."""
    found = set(found_in(prompt, lexicon.groups(_FILE, "english")))
    if prompt.language != "en":
        found.update(found_in(prompt, lexicon.groups(_FILE, "elsewhere")))
    counted = lexicon.groups(_FILE, "counted")
    for before, token in itertools.pairwise(prompt.spoken):
        if (token.word,) in counted and (before.word.isdigit() or before.word in SMALL or before.word in LARGE):
            found.add(counted[token.word,])
    # "In what year" asks for a year, and measures nothing.
    found -= {unit for unit in _ASKED_FOR & found if _ASKED_FOR_SO.search(prompt.text)}
    for match in _BEHIND.finditer(prompt.text):
        unit = _BESIDE_NUMBERS.get(match[1].casefold())
        if unit is not None:
            found.add(unit)
    found |= set(_rates(prompt)) | set(_attached(prompt))
    # A small b is a bit, and a large one a byte.
    found |= {f"{match[1].lower()}bit" for match in _BITS.finditer(prompt.text)}
    found |= {unit for sign, unit in _SIGNS.items() if sign in prompt.text}
    found |= {_DEGREE[match[1]] for match in _DEGREES.finditer(prompt.text)}
    for match in _SQUARED.finditer(prompt.text):
        written = match[0].casefold().rstrip(".")
        found.add(_SQUARES.get(written, written))
    if found & _TEMPERATURES:
        found.discard("degrees")
    return frozenset(found)


def _rates(prompt: Prompt) -> Iterator[str]:
    """What something is counted by: by the day is not by the week, nor by the head, though all may be spoken of."""
    known = lexicon.groups(_FILE, "english"), lexicon.groups(_FILE, "elsewhere")
    for before, token in itertools.pairwise(prompt.spoken):
        unit = known[0].get((token.word,)) or known[1].get((token.word,))
        if before.word == "per" or (unit and before.word in _EACH):
            yield f"per {unit or token.meaning}"


def _attached(prompt: Prompt) -> Iterator[str]:
    """What stands right behind a number: a unit, by its name where that is known."""
    for match in _ATTACHED.finditer(prompt.text):
        written = (match[1] or match[2]).casefold()
        if written not in _NO_UNITS and written not in _BESIDE_NUMBERS and not _BITS.match(match[1] or ""):
            yield lexicon.groups(_FILE, "english").get((written,), written)


def is_unit(word: str) -> bool:
    """Whether a word names a unit, wherever it stands."""
    return (word,) in lexicon.groups(_FILE, "english")


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether one of them names a unit that the other one does not."""
    return units(stored) != units(asked)
