"""Roles: the way from A to B is not the way from B to A, though all words are the same."""

import re
from collections import Counter

from routing.cache.semantic.gates import lexicon, negation
from routing.cache.semantic.gates.text import Prompt, Token

# Roles that exclude each other, by the word before.
_KINDS = {
    "from": "from", "of": "of", "to": "to", "into": "to", "than": "than", "over": "over", "by": "by", "against": "over",
    "before": "before", "after": "after", "under": "under", "above": "over", "below": "under", "without": "without",
    "with": "with", "between": "between", "instead": "instead", "then": "then", "for": "for",
    "on": "on", "in": "in", "as": "as",
    "aus": "from", "nach": "to", "von": "from", "zu": "to", "als": "than", "ins": "to",
    "depuis": "from", "à": "to", "vers": "to", "en": "to", "desde": "from", "a": "to", "hacia": "to", "da": "from",
    "de": "from", "do": "from", "para": "to", "than ": "than", "di": "of", "que": "than", "dal": "from", "dall": "from",
}  # fmt: skip
# Gross into net.
_INTO = {("de", "in"): "to", ("nl", "in"): "to", ("it", "in"): "to", ("ru", "в"): "to", ("pl", "na"): "to"}
_EXCLUDE = {frozenset(pair) for pair in (("from", "to"), ("before", "after"), ("over", "under"), ("with", "without"))}
# Those that make of who has them something else than of who has not.
_DIRECTED = frozenset(
    {"from", "to", "than", "over", "under", "by", "before", "after", "instead", "without", "as", "then"}
)
_ORDERED = frozenset({"then", "than", "before", "after"})
_SYMMETRIC = frozenset({"and", "or", "versus", "vs", "und", "oder", "et", "ou", "y", "o", "e", "ve"})
_PAIRED = frozenset({"between", "difference"})
# Words between two that are joined.
_NEAR = 3
_BY = frozenset({"by"})


# "to" stands before verbs as well, and in many words two change places without a meaning.
_SHORT = 25
_PASSIVE = re.compile(r"\b(?:is|are|was|were|be|been|being)\s+\w+\s+by\b", re.I)


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether the same words stand in each other's places, or one of them in an opposite one."""
    mine, theirs = _roles(stored), _roles(asked)
    shared = mine.keys() & theirs.keys()
    moved = [word for word in shared if mine[word] != theirs[word]]
    if any(frozenset((mine[word], theirs[word])) in _EXCLUDE for word in moved):
        return True
    if len(stored.spoken) <= _SHORT and any(
        mine[one] == theirs[other] and mine[other] == theirs[one] and _tells({mine[one], mine[other]})
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
        kind = _INTO.get((prompt.language, token.word)) or _KINDS.get(token.word)
        if kind is not None and (prompt.language != "en" or token.word not in ("a", "do", "de", "en")):
            lead = kind
        elif is_content(token):
            found[token.meaning] = lead
            words[token.meaning] += 1
            lead = ""
    return {word: role for word, role in found.items() if words[word] == 1}


def is_content(token: Token) -> bool:
    """Whether a token says something of what is asked for; a letter that stands for itself does, as in "vitamin A"."""
    if len(token.text) == 1 and token.text.isupper() and token.text != "I" and not token.first:
        return True
    return token.word not in lexicon.function_words() and token.meaning not in lexicon.function_words()


def _swapped(stored: Prompt, asked: Prompt) -> bool:
    """Whether two words of equal texts stand in each other's places around a third, and nothing joins them."""
    mine = [stored.tokens[place].meaning for place in _places(stored)]
    theirs = [asked.tokens[place].meaning for place in _places(asked)]
    if mine == theirs:
        # "X bought Y" and "X was bought by Y".
        return bool(_PASSIVE.search(stored.text)) != bool(_PASSIVE.search(asked.text)) and len(mine) > 2
    if Counter(mine) != Counter(theirs) or len(mine) < 2:
        return False
    if any((stored.words ^ asked.words) & words for words in (_BY, negation.NEGATIONS)):
        return False  # said the other way round
    shared = stored.words & asked.words
    symmetric = _joined(stored, mine, theirs) or _joined(asked, theirs, mine)
    return _exchanged(mine, theirs, symmetric=symmetric, ordered=bool(_ORDERED & shared))


def _places(prompt: Prompt) -> list[int]:
    """Where in its tokens those stand that say something; what is denied is another gate's."""
    return [
        place for place, token in enumerate(prompt.tokens) if is_content(token) and token.word not in negation.NEGATIONS
    ]


def _joined(prompt: Prompt, mine: list[str], theirs: list[str]) -> bool:
    """Whether the first two words that stand in another order are joined as equals: "tea and coffee"."""
    at = next(at for at, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1])
    places = _places(prompt)[at : at + 2]
    between = {token.word for token in prompt.tokens[places[0] + 1 : places[-1]]}
    return len(between) <= _NEAR and (not _SYMMETRIC.isdisjoint(between) or not _PAIRED.isdisjoint(prompt.words))


def _tells(roles: set[str]) -> bool:
    """Whether words that exchange these roles are exchanged themselves."""
    return bool(roles & _DIRECTED) or "" not in roles


def _exchanged(mine: list[str], theirs: list[str], *, symmetric: bool, ordered: bool) -> bool:
    """Whether two runs of words stand in each other's places, with something between them; where the texts tell an
    order, and of two single words, also where nothing is. Lists of equal words.
    """
    start = next(at for at, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1])
    end = next(at for at in range(len(mine), 0, -1) if mine[at - 1] != theirs[at - 1])
    here, there = mine[start:end], theirs[start:end]
    if len(here) == 2:
        # "the tallest building" and "which building is the tallest"; "tea and coffee" and "coffee and tea".
        return not symmetric and not any(word.endswith("est") for word in here)
    if len(here) > _SHORT:
        return False
    for left in range(1, len(here)):
        for right in range(1, len(here) - left + ordered):
            first, middle, last = here[:left], here[left : len(here) - right], here[len(here) - right :]
            if there == last + middle + first:
                return True
    return False
