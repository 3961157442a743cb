"""Numbers: a text about three of something is not answered with what was said about four. "three" is 3."""

import functools
import re
from decimal import Decimal, InvalidOperation

from routing.cache.semantic.gates.text import Prompt

_DIGITS = re.compile(r"\d+(?:[.,:'\u202f\u00a0]\d+)*")
_GROUPED = re.compile(r"\d{1,3}([.,'\u202f\u00a0])\d{3}(?:\1\d{3})*$")
# What follows a number and makes more of it.
_SCALED = re.compile(
    r"\s?(k|m|bn?|thousand|million|billion|trillion|tausend|millionen|milliarden|mille|mil|万|千|億|亿)\b", re.I
)
_SCALES = {
    "k": 10**3, "thousand": 10**3, "tausend": 10**3, "mille": 10**3, "mil": 10**3, "千": 10**3, "万": 10**4,
    "m": 10**6, "million": 10**6, "millionen": 10**6, "b": 10**9, "bn": 10**9, "billion": 10**9,
    "milliarden": 10**9, "trillion": 10**12, "億": 10**8, "亿": 10**8,
}  # fmt: skip

_UNITS = [
    word
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve",
        "thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    )
    for word in words.split()
]
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = [
    word
    for words in (
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
        "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
    )
    for word in words.split()
]
SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * (at + 2) for at, word in enumerate(_TENS)}
LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ORDINAL = {word: value + 1 for value, word in enumerate(_ORDINALS)} | {"thirtieth": 30, "hundredth": 100}
SHARES = {
    "half": "0.5", "halves": "0.5", "quarter": "0.25", "quarters": "0.25", "twice": "2", "double": "2", "thrice": "3",
    "triple": "3", "quadruple": "4", "dozen": "12", "dozens": "12", "pair": "2", "couple": "2",
}  # fmt: skip
# Of other languages, the numbers up to twelve, the tens, and a hundred and a thousand. Those for one are articles.
ELSEWHERE = {
    word: value
    for words in (
        "zwei:2 drei:3 vier:4 fünf:5 sechs:6 sieben:7 acht:8 neun:9 zehn:10 elf:11 zwölf:12 zwanzig:20 dreißig:30 "
        "vierzig:40 fünfzig:50 sechzig:60 siebzig:70 achtzig:80 neunzig:90 hundert:100 tausend:1000",
        "deux:2 trois:3 quatre:4 cinq:5 sept:7 huit:8 neuf:9 dix:10 onze:11 douze:12 vingt:20 trente:30 "
        "quarante:40 cinquante:50 soixante:60 cent:100 mille:1000",
        "dos:2 tres:3 cuatro:4 cinco:5 seis:6 siete:7 ocho:8 nueve:9 diez:10 once:11 doce:12 veinte:20 treinta:30 "
        "cuarenta:40 cincuenta:50 sesenta:60 setenta:70 ochenta:80 noventa:90 cien:100 ciento:100 mil:1000",
        "due:2 tre:3 quattro:4 cinque:5 sei:6 sette:7 otto:8 nove:9 dieci:10 undici:11 dodici:12 venti:20 "
        "trenta:30 quaranta:40 cinquanta:50 sessanta:60 cento:100",
        "dois:2 duas:2 três:3 quatro:4 sete:7 oito:8 dez:10 doze:12 vinte:20 trinta:30 quarenta:40 "
        "cinquenta:50 cem:100",
        "twee:2 drie:3 vier:4 vijf:5 zes:6 zeven:7 acht:8 negen:9 tien:10 elf:11 twaalf:12 twintig:20 dertig:30 "
        "veertig:40 vijftig:50 zestig:60 zeventig:70 tachtig:80 negentig:90 honderd:100 duizend:1000",
        "två:2 tre:3 fyra:4 fem:5 sex:6 sju:7 åtta:8 nio:9 tio:10 elva:11 tolv:12 tjugo:20 trettio:30 fyrtio:40 "
        "femtio:50 sextio:60 sjuttio:70 åttio:80 nittio:90 hundra:100 tusen:1000",
        "dwa:2 dwie:2 dwóch:2 trzy:3 trzech:3 cztery:4 czterech:4 pięć:5 pięciu:5 sześć:6 siedem:7 osiem:8 dziewięć:9 "
        "dziesięć:10 jedenaście:11 dwanaście:12 dwadzieścia:20 trzydzieści:30 pięćdziesiąt:50 sto:100 tysiąc:1000",
        "два:2 две:2 двух:2 три:3 трёх:3 трех:3 четыре:4 пять:5 шесть:6 семь:7 восемь:8 девять:9 десять:10 двадцать:20 "
        "тридцать:30 сорок:40 пятьдесят:50 сто:100 тысяча:1000",
        "iki:2 üç:3 dört:4 beş:5 altı:6 yedi:7 sekiz:8 dokuz:9 yirmi:20 otuz:30 kırk:40 elli:50 altmış:60 "
        "yetmiş:70 seksen:80 doksan:90 yüz:100 bin:1000",
    )
    for word, _, value in (pair.partition(":") for pair in words.split())
}
_IDEOGRAMS = {char: str(value) for value, char in enumerate("〇一二三四五六七八九十")} | {
    "两": "2",
    "兩": "2",
    "百": "100",
}


@functools.lru_cache(maxsize=2048)
def numbers(prompt: Prompt) -> tuple[str, ...]:
    """Every number in `prompt`, in order, written one way; without a spelled-out "one", which is often an article."""
    return tuple(number for _, number in sorted([*_figures(prompt.text), *_spelled(prompt)]))


def is_number(word: str) -> bool:
    """Whether a word is a number, spelled out or in figures, maybe with its unit behind it."""
    return word[:1].isdigit() or word in SMALL or word in LARGE or (word in ORDINAL and word != "second")


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether one of them has a number that the other one has not, or has the same ones in another order."""
    return _once(_without_one(stored, asked)) != _once(_without_one(asked, stored))


def _without_one(prompt: Prompt, other: Prompt) -> list[str]:
    """Its numbers, but for a "1" that the other one spells, as "one"."""
    spelled = "one" in other.words and "1" not in numbers(other)
    return [number for number in numbers(prompt) if not (spelled and number == "1")]


def _once(found: list[str]) -> list[str]:
    return list(dict.fromkeys(found))


def _figures(text: str) -> list[tuple[int, str]]:
    found = []
    for match in _DIGITS.finditer(text):
        written = match[0]
        if _GROUPED.match(written):
            written = re.sub(r"\D", "", written)
        scaled = _SCALED.match(text, match.end())
        if scaled:
            try:
                value = Decimal(written.replace(",", ".")) * _SCALES[scaled[1].casefold()]
                written = f"{value.normalize():f}"
            except InvalidOperation:  # a version, or a time
                pass
        found.append((match.start(), _plain(written)))
    return found


def _plain(written: str) -> str:
    """Without zeros before it, and without ",00" behind it; "3.10" stays, as it may be a version."""
    written = re.sub(r"[.,]00?$", "", written.replace(",", "."))
    head, point, tail = written.partition(".")
    return (head.lstrip("0") or "0") + point + tail


def _spelled(prompt: Prompt) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    begun = 0
    total = part = 0
    open_ = False
    # What a number in figures is multiplied by was taken with it.
    after_figure = False
    for token in (*prompt.spoken, None):
        word, at = (token.word, token.at) if token is not None else ("", 0)
        if word in SMALL and not (word == "one" and not open_):
            if (open_ and part % 10 == 0 and part % 100 >= 20 and SMALL[word] < 10) or (
                open_ and part and part % 100 == 0
            ):
                part += SMALL[word]
            else:
                if open_:
                    found.append((begun, str(total + part)))
                total, part, open_, begun = 0, SMALL[word], True, token.at if token is not None else 0
            after_figure = False
            continue
        if word in LARGE and not after_figure:
            if LARGE[word] == 100:
                part = (part or 1) * 100
            else:
                total, part = total + (part or 1) * LARGE[word], 0
            begun, open_ = begun if open_ else at, True
            continue
        if open_ and word == "and" and (part or total):
            continue
        if open_:
            found.append((begun, str(total + part)))
            total, part, open_ = 0, 0, False
        after_figure = word[:1].isdigit()
        if word in ORDINAL and word != "second":
            found.append((at, str(ORDINAL[word])))
        elif word in SHARES:
            found.append((at, SHARES[word]))
        elif word in _IDEOGRAMS:
            found.append((at, _IDEOGRAMS[word]))
        elif word in ELSEWHERE and prompt.language not in ("", "en"):
            found.append((at, ELSEWHERE[word]))
    return found
