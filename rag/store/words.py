"""A query's words. Any text is a query: words, "phrases in quotes", which must occur, and -words, which must not."""

import re
from dataclasses import dataclass

# As `rag_spaced` in the database: scripts without spaces, where each character stands for itself.
_UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]+")
# A phrase stands in quotes that open after a space and are closed; all else is a word. A minus may stand before.
_PIECE = re.compile(r'(?:(?<!\S)|(?<=[(\[]))(-?)["“„«]([^"“”„«»]+)["”“»]|(?:(?<!\S)(-))?([^\s"“”„«»]+)')
# More words than these do not make a question clearer.
MOST = 64


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or a phrase whose words follow each other. `required` and `excluded` ones decide, others only rank."""

    text: str
    phrase: bool = False
    required: bool = False
    excluded: bool = False


def terms(query: str) -> list[Term]:
    """The query's words and phrases in their order, each once, at most `MOST`."""
    found: dict[Term, None] = {}
    for without, quoted, minus, plain in _PIECE.findall(clean(query)):
        if any(map(str.isalnum, quoted)):
            found[Term(quoted, phrase=True, required=not without, excluded=bool(without))] = None
        elif minus:
            found[Term(plain, phrase=True, excluded=True)] = None
        elif plain:
            found.update(dict.fromkeys(_words(plain)))
        if len(found) >= MOST:
            break
    return list(found)[:MOST]


def _words(piece: str) -> list[Term]:
    """A piece without spaces; of an unspaced script, each two characters that follow each other."""
    found: list[Term] = []
    end = 0
    for run in UNSPACED.finditer(piece):
        found.append(Term(piece[end : run.start()]))
        found += [Term(pair, phrase=len(pair) > 1) for pair in pairs(run[0])]
        end = run.end()
    found.append(Term(piece[end:]))
    return [term for term in found if any(map(str.isalnum, term.text))]


def pairs(run: str) -> list[str]:
    """The pairs of neighbours in a run of characters; the run itself where it is one."""
    return [run[index : index + 2] for index in range(len(run) - 1)] or [run]


def clean(text: str) -> str:
    """What Postgres takes as text: no NUL, no half of a surrogate pair."""
    return text.replace("\0", " ").encode(errors="replace").decode()
