"""Code: a character of it changes what it does."""

import re

from routing.cache.semantic.gates.text import Prompt

_FENCED = re.compile(r"```[\w+-]*\n?(.*?)(?:```|$)", re.S)
_QUOTED = re.compile(r"`([^`\n]+)`")
# Calls, paths, flags, operators, and names that no prose has.
_CODE = re.compile(
    r"[A-Za-z_][\w.]*\([^()\n]*\)|(?<![\w/])--?[A-Za-z][\w-]*|\b\w*[a-z0-9]_[A-Za-z0-9_]*\b|"
    r"(?<!\w)(?:[\w.-]*/){2,}[\w.-]*|[=!<>]=|&&|\|\||[-=]>|\+\+|\*\*|<<|>>|[+*/%^|&<>=~]|\b\w+\.\w+\b|"
    r"\w[\w.\[\]()]*\s+[-+*/%]\s+\w[\w.\[\]()]*|\w+\s*(?:[=!<>]=|[=<>])\s*\w+|\b[CcFf](?:\+\+|#)|"
    r"(?<=[\w\])])\s*[-+]=|\[[^\[\]\n]*\]|\{[^{}\n]*\}|(?<![\w!])!(?=\S)[^\s]*|(?:[\d*/,-]+[ ]){4}[\d*/,-]+"
)
# A switch is another one in capitals.
_SWITCH = re.compile(r"(?<![\w-])-[A-Z]\b")
_EMOJI_OR_LINK = re.compile(r"[\U0001f300-\U0001faff]")


def code(prompt: Prompt) -> frozenset[str]:
    """What of `prompt` is code, piece by piece, without its spaces."""
    text = _EMOJI_OR_LINK.sub(" ", prompt.text)
    pieces = [match[1] for match in _FENCED.finditer(text)]
    text = _FENCED.sub(" ", text)
    pieces += [match[1] for match in _QUOTED.finditer(text)]
    text = _QUOTED.sub(" ", text)
    pieces += [match[0] for match in _CODE.finditer(text)]
    switches = {match[0] for match in _SWITCH.finditer(prompt.text)}
    return frozenset(re.sub(r"\s+", "", piece).casefold().strip(".") for piece in pieces) - {""} | switches


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether one of them has a piece of code that the other one has not."""
    mine, theirs = code(stored), code(asked)
    return mine != theirs and (_lacks(mine - theirs, asked) or _lacks(theirs - mine, stored))


def _lacks(pieces: frozenset[str], other: Prompt) -> bool:
    """Whether one of `pieces` is not there as words either."""
    squeezed = re.sub(r"\s+", "", other.text.casefold())
    return any(piece not in squeezed for piece in pieces)
