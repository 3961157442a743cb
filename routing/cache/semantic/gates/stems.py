"""What all forms of a word have in common, by the Snowball stemmers."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import snowballstemmer

STEMMERS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip


@functools.lru_cache(maxsize=8192)
def stem(word: str, language: str = "en") -> str:
    """The stem of a case-folded word; the word itself in a language without a stemmer, or an unknown one."""
    name = STEMMERS.get(language or "en")
    if name is None or (not language and not word.isascii()):
        return word
    return str(_stemmer(name).stemWord(word))


@functools.cache
def _stemmer(name: str) -> "snowballstemmer.stemmer":
    import snowballstemmer  # 2 MB, and semantic caches are off unless a policy has one

    return snowballstemmer.stemmer(name)
