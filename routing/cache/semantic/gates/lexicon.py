"""The lists that the gates share, read from the text files beside this module: data, one group a line."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from routing.cache.semantic.gates.stems import stem

# Words in the longest phrase of `synonyms.txt`.
LONGEST = 8
_HERE = Path(__file__).parent


def _lines(name: str) -> Iterator[tuple[str, list[str]]]:
    """The section that a line stands in ("[section]" above it), and its members."""
    section = ""
    for line in (_HERE / name).read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            yield section, [member.strip().casefold() for member in line.split(",") if member.strip()]


@functools.cache
def synonyms() -> Mapping[tuple[str, ...], str]:
    """By the words of a phrase: what it is the same as; "" for what changes no answer, as "could you please"."""
    found: dict[tuple[str, ...], str] = {}
    for section, members in _lines("synonyms.txt"):
        meaning = "" if section == "empty" else members[0]
        for member in members:
            words = member.split()
            found[tuple(words)] = meaning
            found.setdefault(tuple(map(stem, words)), meaning)
    return found


@functools.cache
def contrasts() -> Mapping[tuple[str, ...], list[tuple[str, str, str]]]:
    """By the words of a phrase: the section, the class and the meaning of each membership it has in a class of phrases
    that exclude each other. Members of one class that mean the same are joined by "=" in the file.
    """
    found: dict[tuple[str, ...], list[tuple[str, str, str]]] = {}
    for section, members in _lines("contrasts.txt"):
        for member in members:
            same = [phrase.strip() for phrase in member.split("=")]
            for phrase in same:
                found.setdefault(tuple(phrase.split()), []).append((section, members[0], same[0]))
    return found


@functools.cache
def function_words() -> frozenset[str]:
    """Words that carry no content by themselves, in the languages that have a list."""
    return frozenset(member for _, members in _lines("function_words.txt") for member in members)


@functools.cache
def requests() -> frozenset[str]:
    """Verbs that a request begins with, in the languages that have a list."""
    return frozenset(member for _, members in _lines("requests.txt") for member in members)


@functools.cache
def groups(name: str, section: str) -> Mapping[tuple[str, ...], str]:
    """By the words of a phrase in a section of the file `name`: the first of its line."""
    found = [members for under, members in _lines(name) if under == section]
    return {tuple(member.split()): members[0] for members in found for member in members}
