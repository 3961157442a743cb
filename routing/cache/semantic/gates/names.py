"""Names: of people, places, products. What is said of one is not said of another."""

import re
from collections.abc import Iterator

from routing.cache.semantic.gates.text import Prompt, Token

# Of so many capitalised words in a text, or in German, a capital says nothing.
_TITLE_SHARE = 0.75
_CAPITALISED_NOUNS = frozenset({"de"})
_NO_NAMES = frozenset({"i", "ok", "faq", "pdf", "url", "am", "pm", "mr", "mrs", "ms", "dr"})
# Letters of a name that may be found within another word: "PostgreSQL" in "postgresql's", but no "C" in "cat".
_SHORTEST = 4
_INNER_CAPITAL = re.compile(r"[a-z0-9][A-Z]")


def names(prompt: Prompt) -> Iterator[Token]:
    """The tokens of `prompt` that are names by their capitals: none at the beginning of a sentence, unless mixed."""
    written = [token for token in prompt.tokens if token.text[:1].isalpha()]
    capital = [token for token in written if token.text[:1].isupper()]
    everywhere = len(written) > 4 and len(capital) > _TITLE_SHARE * len(written)
    for token in capital:
        mixed = len(token.text) > 1 and (token.text.isupper() or _INNER_CAPITAL.search(token.text) is not None)
        plain = not token.first and not everywhere and prompt.language not in _CAPITALISED_NOUNS
        if token.word not in _NO_NAMES and (plain or (mixed and not everywhere)):
            yield token


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether one of them has a name that the other one does not have in any spelling of its case."""
    return _lacks(stored, asked) or _lacks(asked, stored)


def _lacks(of: Prompt, other: Prompt) -> bool:
    meanings = {token.meaning for token in other.tokens}
    joined = re.sub(r"[\W_]+", "", other.text.casefold())
    return any(
        (token.meaning not in meanings and re.sub(r"[\W_]+", "", token.word) not in joined)
        or (token.word not in other.words and not other.words.isdisjoint(_plurals(token.word)))
        for token in names(of)
    )


def _plurals(name: str) -> tuple[str, str]:
    """Other names than this one, in English: "Alien" and "Aliens" are two films."""
    return f"{name}s", name.removesuffix("s")
