"""Classes of words that exclude each other: more and less, Monday and Friday, JSON and YAML, English and French."""

import functools
from collections.abc import Mapping

from routing.cache.semantic.gates import lexicon
from routing.cache.semantic.gates.text import Prompt, found_in

# Words in a prompt of which each one counts.
SHORT = 20
_NONE: frozenset[str] = frozenset()


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether they have different members of a class; for some classes, whether only one of them has any."""
    mine, theirs = _marks(stored), _marks(asked)
    short = max(len(stored.spoken), len(asked.spoken)) <= SHORT
    for which in mine.keys() | theirs.keys():
        one, other = mine.get(which, _NONE), theirs.get(which, _NONE)
        alone_counts = which[0] == "strict" or (which[0] == "graded" and short)
        if (one != other and alone_counts) or (one - other and other - one):
            return True
    return False


@functools.lru_cache(maxsize=2048)
def _marks(prompt: Prompt) -> Mapping[tuple[str, str], frozenset[str]]:
    """By section and class: the members that stand in `prompt`."""
    found: dict[tuple[str, str], set[str]] = {}
    for memberships in found_in(prompt, lexicon.contrasts()):
        for section, name, meaning in memberships:
            found.setdefault((section, name), set()).add(meaning)
    return {which: frozenset(meanings) for which, meanings in found.items()}
