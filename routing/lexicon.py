"""Graded words of seven languages and a few of many more, read once from `routing/lexicon/*.toml`.

A word says one of three things: what is asked (by the work it takes), what it is about (by how specialised the
vocabulary is), or how it is asked (a limit, a condition, a reason). None names a subject of an examination, and none
can be said to claim a tier: "expert", "hard" and "quick question" are not in the lists.
"""

import struct
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "lexicon"
# The classes of words, in the order in which their hits are counted.
CLASSES = (
    *(f"asks_{grade}" for grade in ("plain", "simple", "moderate", "complex", "expert")),
    *(f"terms_{grade}" for grade in ("everyday", "working", "technical", "research")),
    *(
        f"cues_{kind}"
        for kind in (
            "brief",
            "steps",
            "constraint",
            "universal",
            "condition",
            "negation",
            "reasoning",
            "trouble",
            "deictic",
        )
    ),
)
# A tier that a prompt claims for itself is no evidence. Some words name one, some order it to be taken for that.
CLAIMS = {
    "names_tier": "expert complex difficult hard simple moderate reasoning effort",
    "orders_tier": "treat classify route rate mark label consider handle regard mode level tier complexity reasoning"
    " effort",
}
ASKS = tuple(name for name in CLASSES if name.startswith("asks_"))
# "mul": any other in Latin script. "other": any in an alphabet without a list of its own.
SPACED = ("en", "de", "es", "fr", "mul")
UNSPACED = ("zh", "ja", "ar", "other")

# What a `*` at a stem's end stands for.
ENDINGS = {
    "de": "e en er es em t st te ten et s n ung ungen end ende enden ere eren erter in innen ig ige igen isch"
    " ische ischen iert ierte iere ieren ierung ität",
    "es": "a as e es o os an en ar er ir ado ada ados adas ido ida ando iendo amos ame emos é ó ía ían ir ción ciones"
    " al ales ico ica icos icas idad mente ante antes ble bles r",
    "fr": "e es s er ez ons ent é ée és ées ant ante it ir re ir ement ation ations eur eurs ence al ale aux ique"
    " iques if ive x able ables ité",
    "mul": "a e i o u y as es os is an en ar er ir n s te ta ti to are ere ire ando ado ada ati ato ata ação ações ção"
    " ione zione zioni ą ę ej ego ym ych emu em et in ini ien nen ni ä ään na la lla ia tt al ali ais ne ny nych nego"
    " ön sen sin",
}


def _inflected(word: str, language: str) -> Iterator[str]:
    """The forms in which `word` may stand in a text."""
    stem = word.removesuffix("*")
    yield stem
    if language == "en":
        # "his" is no form of "hi".
        if len(stem) > 3:
            yield from _english(stem)
    elif stem != word:
        yield from (stem + ending for ending in ENDINGS[language].split())


def _english(word: str) -> Iterator[str]:
    yield word + "s"
    if word.endswith("e"):
        yield from (word + "d", word[:-1] + "ing")
    elif word.endswith("y"):
        yield from (word[:-1] + "ies", word[:-1] + "ied", word + "ing")
    else:
        yield from (word + "es", word + "ed", word + "ing")


def _sections(languages: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(language, class, words) of every list."""
    for language in languages:
        lists = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
        for part, grades in lists.items():
            for grade, words in grades.items():
                yield language, f"{part}_{grade}", words.split()


def _spaced_words() -> dict[bytes, int]:
    """What each word of the languages that put spaces between words counts. The word is in lower case, in UTF-8.

    A word has one class of each part: the language that comes first in `SPACED` decides, then whether the form is
    spelled out or was formed, then the highest grade. So they are written down from the other end, and the last word
    stands: a table of what came before would cost each process 20 MB that it does not get rid of.
    """
    counts: dict[bytes, int] = {}
    shared: dict[int, int] = {}
    for part in ("asks", "terms", "cues"):
        held: dict[bytes, int] = {}
        for language in reversed(SPACED):
            lists = [(name, words) for _, name, words in _sections((language,)) if _part(name) == part]
            lists.sort(key=lambda section: CLASSES.index(section[0]))
            for formed in (True, False):
                for name, words in lists:
                    held.update(dict.fromkeys(_encoded(words, language, formed=formed), _one(name)))
        for form, one in held.items():
            total = counts.get(form, 0) + one
            counts[form] = shared.setdefault(total, total)
    return counts


def _encoded(words: Iterable[str], language: str, *, formed: bool) -> Iterator[bytes]:
    """The words as they are spelled out in the lists, or the forms of them."""
    for word in words:
        spelled, *forms = _inflected(word, language)
        yield from (form.encode() for form in (forms if formed else (spelled,)))


def _stems() -> dict[bytes, int]:
    """What a word counts that begins with these `STEM` bytes: for compounds and endings that `ENDINGS` has not."""
    found: dict[tuple[bytes, str], str] = {}
    for _, name, words in _sections(SPACED):
        for word in words:
            stem = word.removesuffix("*").encode()
            if word.endswith("*") and len(stem) >= STEM:
                key = stem[:STEM], _part(name)
                found[key] = max(found.get(key, name), name, key=CLASSES.index)
    counts: dict[bytes, int] = {}
    for (stem, _), name in found.items():
        counts[stem] = counts.get(stem, 0) + _one(name)
    return counts


def _needles(language: str) -> dict[str, tuple[tuple[str, int], ...]]:
    """For each beginning of `BEGINNING` characters: the words to look for in a text that has it, what they count."""
    found: dict[tuple[str, str], str] = {}
    for _, name, words in _sections((language,)):
        for word in words:
            needle = word.replace("_", " ")
            if len(needle) < SHORTEST[language]:
                # So short a word would be found within others.
                needle = f" {needle} "
            found[needle, _part(name)] = name
    needles: dict[str, tuple[tuple[str, int], ...]] = {}
    for (needle, _), name in found.items():
        beginning = needle[:BEGINNING]
        needles[beginning] = (*needles.get(beginning, ()), (needle, _one(name)))
    return needles


def _part(name: str) -> str:
    return name.partition("_")[0]


def _one(name: str) -> int:
    """One hit of the class: hits are added up in one integer, 16 bits to a class."""
    return 1 << 16 * _COUNTED.index(name)


def _all(*names: str) -> int:
    """Every possible hit of these classes."""
    return sum(0xFFFF * _one(name) for name in names)


def _count_claims(counts: dict[bytes, int]) -> None:
    """Have the words of claims counted, too."""
    for name, words in CLAIMS.items():
        for word in words.encode().split():
            counts[word] = counts.get(word, 0) + _one(name)


def unpacked(hits: int) -> tuple[int, ...]:
    """The number of hits of each class, in the order of `CLASSES`."""
    return _COUNTS.unpack(hits.to_bytes(_COUNTS.size, "little"))


# The words of claims are counted beside the classes, which `unpacked` gives alone.
_COUNTED = (*CLASSES, *CLAIMS)
_COUNTS = struct.Struct(f"<{len(CLASSES)}H{2 * len(CLAIMS)}x")
STEM = 7
BEGINNING = 2
SHORTEST = {"zh": 1, "ja": 1, "ar": 4, "other": 1}
WORDS = _spaced_words()
_count_claims(WORDS)
KNOWN = frozenset(WORDS)
STEMS = _stems()
NEEDLES = {language: _needles(language) for language in UNSPACED}
# The words that may begin a request, and their grade: 1 simple to 4 expert.
LEADS = {
    word: grade
    for word, hits in WORDS.items()
    for grade, hit in enumerate(unpacked(hits)[: len(ASKS)])
    if hit and grade
}
# Words of small talk may open a message, and ask for nothing.
SMALL_TALK = frozenset(
    (
        b"hi hello hey thanks thank thx bye morning goodnight welcome congrats haha lol cheers ok okay sorry hallo moin"
        b" danke hola gracias bonjour salut merci ciao hej grazie obrigado obrigada yes no"
    ).split()
)
# The words that may begin a request, those that ask for something without saying how much work it is among them.
OPENERS = (frozenset(LEADS) | frozenset(word for word, hits in WORDS.items() if hits & 0xFFFF)) - SMALL_TALK
# The hits of everything that asks for something, and of what asks for much.
ASKED = _all("asks_plain", "asks_simple", "asks_moderate", "asks_complex", "asks_expert")
HARD = _all("asks_complex", "asks_expert")
HARD_WORDS = frozenset(word for word, hits in WORDS.items() if hits & HARD)
SIMPLE_WORDS = frozenset(word for word, hits in WORDS.items() if hits & _all("asks_simple"))
TIER_NAMED, TIER_ORDERED = _all("names_tier"), _all("orders_tier")
