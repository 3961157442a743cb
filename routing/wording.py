"""The wording of a text: its script, its graded words, its size in tokens. All of it in methods that run in C."""

import operator

from routing.lexicon import BEGINNING, KNOWN, NEEDLES, STEM, STEMS, WORDS

# Characters to a token in Latin script. A Chinese or Japanese character is about a token.
CHARACTERS_PER_TOKEN = 4
# How much of a text tells its script, and how much of its two ends its size in tokens.
SCRIPT_SAMPLE, TOKEN_SAMPLE = 400, 500
UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_SEPARATORS = bytes(range(33)) + b'!"#$%&()*,-./:;<=>?@[\\]^_`{|}~\x7f'
# The first bytes, in UTF-8, of Chinese, Japanese and Korean characters; of Arabic letters; of any but Latin and Greek.
_WIDE_LEADS, _ARABIC_LEADS, _OTHER_LEADS = bytes(range(0xE3, 0xEE)), bytes(range(0xD8, 0xDC)), bytes(range(0xD0, 0xE2))
# Those of Korean alone.
_HANGUL_LEADS = bytes(range(0xEA, 0xEE))
_KANA = (b"\xe3\x81", b"\xe3\x82", b"\xe3\x83")
# To lower case, with words apart; `_ASCII_WORDS` also takes out what is not ASCII.
_LATIN_WORDS = bytes(32 if code in _SEPARATORS else code + 32 if code in UPPER else code for code in range(256))
_ASCII_WORDS = bytes(code if code < 128 else 32 for code in _LATIN_WORDS)
# Punctuation outside ASCII that would stick to words.
_QUOTES = tuple(mark.encode() for mark in "«»“”„\u2018\u2019\u2013—…¿¡·")


def script_of(text: str) -> str:
    """latin, accented, zh, ja, ar or other, by the beginning of `text`."""
    if text.isascii():
        return "latin"
    sample = text[:SCRIPT_SAMPLE]
    size = len(sample)
    encoded = sample.encode("utf-8", "replace")
    wide = len(encoded) - len(encoded.translate(None, _WIDE_LEADS))
    if wide * 5 > size:
        if (len(encoded) - len(encoded.translate(None, _HANGUL_LEADS))) * 2 > wide:
            return "other"
        return "ja" if sum([encoded.count(lead) for lead in _KANA]) * 20 > wide else "zh"
    if (len(encoded) - len(encoded.translate(None, _ARABIC_LEADS))) * 5 > size:
        return "ar"
    return "other" if (len(encoded) - len(encoded.translate(None, _OTHER_LEADS))) * 5 > size else "accented"


def words_of(text: str, language: str) -> list[bytes]:
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


def hits_of(text: str, language: str, spaced: list[bytes] | None = None) -> int:
    """The hits of the graded words in `text`, packed; `spaced` are its words where they are known."""
    if spaced is None:
        spaced = words_of(text, language)
    known = KNOWN.intersection(spaced)
    hits = sum(map(WORDS.__getitem__, known))
    if language == "accented":
        stems = {word[:STEM] for word in spaced if word not in known}
        hits += sum([STEMS[stem] for stem in STEMS.keys() & stems])
    elif language in NEEDLES:
        needles = NEEDLES[language]
        text = f" {text.lower()} "
        # Where words are apart they begin with one, else it may stand anywhere.
        apart = language == "other"
        starts = [word[:BEGINNING] for word in text.split()] if apart else map(operator.add, text, text[1:])
        for beginning in needles.keys() & set(starts):
            for needle, hit in needles[beginning]:
                if needle in text:
                    hits += hit
    return hits


def estimate_tokens(text: str, size: int = -1) -> int:
    """About how many tokens `text` has, or a text of `size` characters like it. Looks at a thousand characters."""
    if size < 0:
        size = len(text)
    if text.isascii():
        return (size + 3) // CHARACTERS_PER_TOKEN
    sample = text if len(text) <= 2 * TOKEN_SAMPLE else text[:TOKEN_SAMPLE] + text[-TOKEN_SAMPLE:]
    encoded = sample.encode("utf-8", "replace")
    wide = len(encoded) - len(encoded.translate(None, _WIDE_LEADS))
    # An accent, or a letter of another alphabet, is more than the quarter of a token that an ASCII letter is.
    more = max(len(encoded) - len(sample) - 2 * wide, 0) * 0.15
    return max(round((wide + (len(sample) - wide) / CHARACTERS_PER_TOKEN + more) * size / len(sample)), 1)
