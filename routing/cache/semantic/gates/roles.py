"""Roles: the way from A to B is not the way from B to A, though all words are the same."""

from collections import Counter

from routing.cache.semantic.gates import lexicon
from routing.cache.semantic.gates.text import Prompt, Token

# Roles that exclude each other, by the word before.
_KINDS = {
    "from": "from", "of": "of", "to": "to", "into": "to", "than": "than", "over": "over", "by": "by", "against": "over",
    "before": "before", "after": "after", "under": "under", "above": "over", "below": "under", "without": "without",
    "with": "with", "between": "between", "instead": "instead", "for": "for", "on": "on", "in": "in", "as": "as",
    "aus": "from", "nach": "to", "von": "from", "zu": "to", "als": "than", "ins": "to",
    "depuis": "from", "à": "to", "vers": "to", "en": "to", "desde": "from", "a": "to", "hacia": "to", "da": "from",
    "de": "from", "do": "from", "para": "to", "than ": "than", "di": "of", "que": "than", "dal": "from", "dall": "from",
}  # fmt: skip
_EXCLUDE = {frozenset(pair) for pair in (("from", "to"), ("before", "after"), ("over", "under"), ("with", "without"))}
# Those that make of who has them something else than of who has not.
_DIRECTED = frozenset({"from", "to", "than", "over", "under", "by", "before", "after", "instead", "without", "as"})
_SYMMETRIC = frozenset(
    {"and", "or", "versus", "vs", "between", "und", "oder", "et", "ou", "y", "o", "e", "ve", "difference"}
)


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether the same words stand in each other's places, or one of them in an opposite one."""
    mine, theirs = _roles(stored), _roles(asked)
    shared = mine.keys() & theirs.keys()
    moved = [word for word in shared if mine[word] != theirs[word]]
    if any(frozenset((mine[word], theirs[word])) in _EXCLUDE for word in moved):
        return True
    if any(
        mine[one] == theirs[other] and mine[other] == theirs[one] and {mine[one], mine[other]} & _DIRECTED
        for one in moved
        for other in moved
        if one < other
    ):
        return True
    return _swapped(stored, asked)


def _roles(prompt: Prompt) -> dict[str, str]:
    """By content word that occurs once: what kind of word leads to it, "" for none."""
    lead = ""
    found: dict[str, str] = {}
    words: Counter[str] = Counter()
    for token in prompt.spoken:
        kind = _KINDS.get(token.word)
        if kind is not None and (prompt.language != "en" or token.word not in ("a", "do", "de", "en")):
            lead = kind
        elif is_content(token):
            found[token.meaning] = lead
            words[token.meaning] += 1
            lead = ""
    return {word: role for word, role in found.items() if words[word] == 1}


def is_content(token: Token) -> bool:
    """Whether a token says something of what is asked for."""
    return token.word not in lexicon.function_words() and token.meaning not in lexicon.function_words()


def _swapped(stored: Prompt, asked: Prompt) -> bool:
    """Whether two words of equal texts stand in each other's places around a third, and nothing joins them."""
    mine = [token.meaning for token in stored.tokens if is_content(token)]
    theirs = [token.meaning for token in asked.tokens if is_content(token)]
    if mine == theirs:
        # "X bought Y" and "X was bought by Y".
        return ("by" in stored.words) != ("by" in asked.words) and len(mine) > 2
    if Counter(mine) != Counter(theirs) or len(mine) < 2:
        return False
    if ("by" in stored.words) != ("by" in asked.words):
        return False
    different = [at for at, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1]]
    if len(different) != 2:
        return False
    neighbours = different[1] - different[0] == 1
    # "the tallest building" and "which building is the tallest"; "tea and coffee" and "coffee and tea".
    turned = any(mine[at].endswith("est") for at in different) or bool(_SYMMETRIC & stored.words & asked.words)
    return not (neighbours and turned)
