"""A prompt as the gates read it: its tokens, in order, each with its stem, phrases of one meaning brought together."""

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from routing.cache.semantic.gates import lexicon
from routing.cache.semantic.gates.language import language_of
from routing.cache.semantic.gates.stems import stem

T = TypeVar("T")

# Where no spaces stand between words, each character is a token.
IDEOGRAMS = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and the like, which are no letters for `re`, and belong to the letter before them: accents, Hebrew,
# Arabic, the scripts of India, which have theirs in equal places of their blocks, and Thai.
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0e31\u0e34-\u0e3a\u0e47-\u0e4e" + "".join(
    f"{chr(block + first)}-{chr(block + last)}"
    for block in range(0x0900, 0x0E00, 0x80)
    for first, last in ((0x00, 0x03), (0x3A, 0x4F), (0x51, 0x57), (0x62, 0x63))
)
_TOKEN = re.compile(
    rf"[{IDEOGRAMS}]|(?:(?![{IDEOGRAMS}])(?:[^\W_]|[{MARKS}]))+(?:['’](?:(?![{IDEOGRAMS}])[^\W\d_])+)?|[.!?。！？\n]"
)
_ENDS = frozenset(".!?。！？\n")
# English contractions, apart.
_CONTRACTED = (("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("shan't", "shall not"))
_SUFFIXES = (("n't", "not"), ("'re", "are"), ("'ll", "will"), ("'ve", "have"), ("'d", "would"), ("'m", "am"))
_IS = frozenset({"what", "who", "where", "how", "when", "why", "it", "that", "there", "he", "she", "let", "which"})


@dataclass(frozen=True, slots=True)
class Token:
    """`word` is case-folded; `meaning` is its stem, or the name of the synonyms, or of the unit, that it is one of."""

    text: str
    word: str
    meaning: str
    # Whether a sentence begins with it, so that its capital says nothing.
    first: bool
    # Where in the text.
    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A text, analysed. `language` is an ISO 639-1 code, "" where it is not clear."""

    text: str
    language: str
    # As they stand there, and with phrases brought together.
    spoken: tuple[Token, ...] = field(repr=False)
    tokens: tuple[Token, ...] = field(repr=False)
    words: frozenset[str] = field(repr=False)


@functools.lru_cache(maxsize=2048)
def analysed(text: str) -> Prompt:
    """`text` for the gates; linear in its length."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    language = language_of(plain)
    spoken = tuple(_tokens(plain, language))
    return Prompt(plain, language, spoken, _together(spoken), frozenset(token.word for token in spoken))


def found_in(prompt: Prompt, phrases: Mapping[tuple[str, ...], T]) -> Iterator[T]:
    """What `phrases`, by their words, has for those that stand in `prompt`; the longest where several begin."""
    words = [token.word for token in prompt.spoken]
    at = 0
    while at < len(words):
        for length in range(min(lexicon.LONGEST, len(words) - at), 0, -1):
            found = phrases.get(tuple(words[at : at + length]))
            if found is not None:
                yield found
                at += length
                break
        else:
            at += 1


def is_request(prompt: Prompt) -> bool:
    """Whether one of its sentences says what is to be done."""
    return any(token.first and token.word in lexicon.requests() for token in prompt.spoken)


def _tokens(text: str, language: str) -> list[Token]:
    units = lexicon.groups("units.txt", "english")
    found: list[Token] = []
    first = True
    for match in _TOKEN.finditer(text):
        written = match[0]
        if written in _ENDS:
            first = True
            continue
        for part in _apart(written):
            word = part.casefold()
            found.append(Token(part, word, units.get((word,)) or stem(word, language), first, match.start()))
            first = False
    return found


def _apart(written: str) -> list[str]:
    """The words in a contraction; possessives without their ending."""
    if "'" not in written and written.casefold() != "cannot":
        return [written]
    word = written.casefold()
    for contracted, whole in _CONTRACTED:
        if word == contracted:
            return whole.split()
    for suffix, whole in _SUFFIXES:
        if word.endswith(suffix):
            return [written[: -len(suffix)], whole]
    head, _, tail = written.partition("'")
    if tail.casefold() == "s":
        return [head, "is"] if head.casefold() in _IS else [head]
    return [head, tail] if head and tail else [written]


def _together(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Phrases that mean one thing as one token, and every synonym as the first of its group."""
    phrases = lexicon.synonyms()
    kept: list[Token] = []
    at = 0
    while at < len(tokens):
        for length in range(min(lexicon.LONGEST, len(tokens) - at), 0, -1):
            part = tokens[at : at + length]
            meaning = phrases.get(tuple(token.word for token in part)) or phrases.get(
                tuple(token.meaning for token in part)
            )
            if meaning is not None:
                if meaning:
                    text = " ".join(token.text for token in part)
                    kept.append(Token(text, text.casefold(), meaning, part[0].first, part[0].at))
                at += length
                break
        else:
            kept.append(tokens[at])
            at += 1
    return tuple(kept)
