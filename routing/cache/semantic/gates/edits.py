"""Small changes: where all words of two prompts are the same but one or two, those are what one of them is about.

People who mean the same say it in other words altogether, or exchange a word for a synonym. Two texts in which nearly
everything is equal, and one word is replaced by one that is no synonym, are the same question about something else.
"""

import operator
from collections import Counter
from difflib import SequenceMatcher

from routing.cache.semantic.gates.numbers import is_number
from routing.cache.semantic.gates.roles import is_content
from routing.cache.semantic.gates.stems import stem
from routing.cache.semantic.gates.text import Prompt, Token, is_request
from routing.cache.semantic.gates.units import is_unit

# Words exchanged, added or left out on either side that may still be the whole difference.
MOST = 3
# Those in one place of a text that is else the same, and how many times as many the others must be: in a request there
# stands what is to be made, or in which form, and in a text of so many words what it is about.
MOST_IN_ONE_PLACE, AROUND, LONG = 12, 1.5, 30
# Breaks of lines in a text that brings along what it is about, a table, a log, a letter: of such, a word of the
# question tells more than all others.
LINES = 2
# Where each character is a word, as many as make a name.
MOST_CHARACTERS = 8
UNSPACED = frozenset({"zh", "ja"})
# Words that are compared with each other; of longer texts, those between what both begin and end with.
COMPARED = 400


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether a few words in equal surroundings make the whole difference, and are not exchangeable."""
    mine, theirs = (_said(prompt) for prompt in (stored, asked))
    most = MOST_CHARACTERS if stored.language in UNSPACED else MOST
    if _content(stored) == _content(asked):
        return False
    if min(stored.text.strip().count("\n"), asked.text.strip().count("\n")) >= LINES:
        return True
    if (min(len(mine), len(theirs)) >= LONG or (is_request(stored) and is_request(asked))) and _one_place(mine, theirs):
        return True
    if abs(len(mine) - len(theirs)) > most:
        return False
    if max(len(mine), len(theirs)) > COMPARED:
        mine, theirs = _between(mine, theirs)
        if max(len(mine), len(theirs)) > COMPARED:
            return True  # nobody looks that closely, and a miss does no harm
    if len(mine) == len(theirs) and sum(map(operator.ne, mine, theirs)) <= most:
        return True
    gone = new = 0
    for change, start, end, other_start, other_end in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if change != "equal":
            gone, new = gone + end - start, new + other_end - other_start
    return gone <= most and new <= most


def _one_place(mine: list[str], theirs: list[str]) -> bool:
    """Whether all is equal but one place, which holds fewer words than what is around it."""
    here, there = _between(mine, theirs)
    most = max(len(here), len(there))
    return most <= MOST_IN_ONE_PLACE and AROUND * most <= max(len(mine), len(theirs)) - most


def _between(mine: list[str], theirs: list[str]) -> tuple[list[str], list[str]]:
    """What is between the words that both begin with and those that both end with."""
    shorter = min(len(mine), len(theirs))
    start = next((at for at in range(shorter) if mine[at] != theirs[at]), shorter)
    left = shorter - start
    end = next((at for at in range(left) if mine[-1 - at] != theirs[-1 - at]), left)
    return mine[start : len(mine) - end], theirs[start : len(theirs) - end]


def _content(prompt: Prompt) -> Counter[str]:
    return Counter(token.meaning for token in prompt.tokens if is_content(token) and not _measured(token))


def _said(prompt: Prompt) -> list[str]:
    return [stem(token.word, prompt.language) for token in prompt.spoken if not _measured(token)]


def _measured(token: Token) -> bool:
    """Whether it is a number or a unit, in one of its many notations: other gates compare those."""
    return is_number(token.word) or is_unit(token.word)
