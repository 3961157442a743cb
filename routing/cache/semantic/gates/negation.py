"""Negation: what holds for those with a licence does not hold for those without."""

import re
from collections import Counter

from routing.cache.semantic.gates import lexicon
from routing.cache.semantic.gates.text import Prompt, is_request

NEGATIONS = frozenset(
    word
    for words in (
        "not no never none nor neither nobody nothing nowhere without cannot hardly barely non unable impossible fail",
        "fails failed failing avoid avoiding except excluding unless lack lacks lacking aren isn doesn",
        "dont cant wont isnt arent doesnt didnt shouldnt couldnt wouldnt wasnt werent havent hasnt rarely seldom",
        "nicht kein keine keinen keinem keiner nie niemals ohne nichts",
        "pas jamais sans aucun aucune rien",
        "nunca sin ningún ninguna nada tampoco",
        "mai senza nessun nessuna niente non",
        "não sem nenhum nenhuma",
        "değil olmadan hiç yok olmayan",
        "niet geen niets niemand nooit zonder",
        "inte ej aldrig utan ingen inget inga",
        "bez nigdy nikt żaden żadna żadne",
        "не нет без никогда никто ничего нельзя",
        "لا ليس ليست لم لن بدون دون غير",
    )
    for word in words.split()
)
_IDEOGRAMS = re.compile(r"不|没|沒|無|无|未|非|ない|ません|ず|않|없|못|금지")
# An answer's own yes or no, and tags, deny nothing of what is asked.
_SAID_FIRST = re.compile(
    r"^\s*(?:no|non|nein|não|yes)\s*[,.!:]\s*|\b(?:whether )?or not\b"
    r"|,\s*(?:is|are|do|does|can)n't (?:it|they|you|we)\b",
    re.I,
)
_FREE = re.compile(r"\b\w+-free\b|\bfree (?:of|from)\b", re.I)
_BUT = re.compile(r"\b(?:every\w+|any\w+|all|nothing|none) but\b", re.I)
# "impossible" and "possible", "illegal" and "legal": where the other text has the word without its prefix.
_PREFIXES = ("un", "in", "im", "ir", "il", "non", "dis")
# Letters that are left of a word without its prefix; and words of a text that asks for nothing, in which one denial
# more says little.
_ROOT, _LONG = 4, 25


def negations(prompt: Prompt) -> int:
    """How often `prompt` denies something."""
    text = _SAID_FIRST.sub(" ", prompt.text)
    dropped = len(prompt.text) != len(text)
    words = re.findall(r"[^\W\d_]+(?:'t)?", text.casefold()) if dropped else [token.word for token in prompt.spoken]
    count = sum(word in NEGATIONS or word.endswith("n't") for word in words)
    total: int = count + len(_FREE.findall(text)) + len(_BUT.findall(text)) + len(_IDEOGRAMS.findall(text))
    return total


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether they deny differently often, or one has a word whose opposite the other has."""
    mine, theirs = negations(stored), negations(asked)
    told = not (_asks(stored) or _asks(asked)) and min(len(stored.spoken), len(asked.spoken)) > _LONG
    if abs(mine - theirs) > told or bool(mine) != bool(theirs) or (mine and _moved(stored, asked)):
        return True
    these, those = ({token.meaning for token in prompt.tokens} for prompt in (stored, asked))
    return _opposite(these - those, those) or _opposite(those - these, these)


def _asks(prompt: Prompt) -> bool:
    return "?" in prompt.text or is_request(prompt)


def _moved(stored: Prompt, asked: Prompt) -> bool:
    """Whether each denies something that the other one speaks of, too, and does not deny."""
    mine, theirs = _denied(stored), _denied(asked)
    return bool(mine and theirs) and not mine & theirs and mine <= _once(asked) and theirs <= _once(stored)


def _denied(prompt: Prompt) -> set[str]:
    """The two words behind each denial, of those that stand only once in the text."""
    once, found = _once(prompt), set[str]()
    left = 0
    for token in prompt.spoken:
        if token.word in NEGATIONS:
            left = 2
        elif left and token.word not in lexicon.function_words():
            left -= 1
            if token.meaning in once:
                found.add(token.meaning)
    return found


def _once(prompt: Prompt) -> set[str]:
    counts = Counter(token.meaning for token in prompt.spoken if token.word not in lexicon.function_words())
    return {meaning for meaning, count in counts.items() if count == 1}


def _opposite(words: set[str], others: set[str]) -> bool:
    return any(
        word.startswith(prefix) and len(word) - len(prefix) >= _ROOT and word[len(prefix) :] in others
        for word in words
        for prefix in _PREFIXES
    )
