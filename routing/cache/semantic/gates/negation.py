"""Negation: what holds for those with a licence does not hold for those without."""

import re

from routing.cache.semantic.gates.text import Prompt

NEGATIONS = frozenset(
    word
    for words in (
        "not no never none nor neither nobody nothing nowhere without cannot hardly barely non unable impossible fail",
        "fails failed failing avoid avoiding except excluding unless lack lacks lacking aren isn doesn",
        "nicht kein keine keinen keinem keiner nie niemals ohne nichts",
        "pas jamais sans aucun aucune rien",
        "nunca sin ningún ninguna nada tampoco",
        "mai senza nessun nessuna niente non",
        "não sem nenhum nenhuma",
        "değil olmadan hiç yok olmayan",
    )
    for word in words.split()
)
_IDEOGRAMS = re.compile(r"不|没|沒|無|无|未|非|ない|ません|ず")
# An answer's own yes or no, and tags, deny nothing of what is asked.
_SAID_FIRST = re.compile(
    r"^\s*(?:no|non|nein|não|yes)\s*[,.!:]\s*|\b(?:or not|whether or not|if not|why not)\b"
    r"|,\s*(?:is|are|do|does|can)n't (?:it|they|you|we)\b",
    re.I,
)
_FREE = re.compile(r"\b\w+-free\b|\bfree (?:of|from)\b", re.I)
# "impossible" and "possible", "illegal" and "legal": where the other text has the word without its prefix.
_PREFIXES = ("un", "in", "im", "ir", "il", "non", "dis", "de", "mis", "anti", "a")


def negations(prompt: Prompt) -> int:
    """How often `prompt` denies something."""
    text = _SAID_FIRST.sub(" ", prompt.text)
    dropped = len(prompt.text) != len(text)
    words = re.findall(r"[^\W\d_]+(?:'t)?", text.casefold()) if dropped else [token.word for token in prompt.spoken]
    count = sum(word in NEGATIONS or word.endswith("n't") for word in words)
    total: int = count + len(_FREE.findall(text)) + len(_IDEOGRAMS.findall(text))
    return total


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether they deny differently often, or one has a word whose opposite the other has."""
    if negations(stored) != negations(asked):
        return True
    mine, theirs = ({token.meaning for token in prompt.tokens} for prompt in (stored, asked))
    return _opposite(mine - theirs, theirs) or _opposite(theirs - mine, mine)


def _opposite(words: set[str], others: set[str]) -> bool:
    return any(
        word.startswith(prefix) and len(word) - len(prefix) > 2 and word[len(prefix) :] in others
        for word in words
        for prefix in _PREFIXES
    )
