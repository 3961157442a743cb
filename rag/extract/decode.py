"""Bytes of a text in whatever encoding they came."""

import codecs

from rag.extract.clean import clean
from rag.extract.errors import ExtractError

# How much of a file is looked at to guess its encoding.
SAMPLE = 128 * 1024
# The share of controls that a damaged text may have; what is compressed has ten per cent.
MOST_CONTROLS = 0.02
# All but tab, line breaks, form feed, and escape, with which older encodings switch their sets.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b")
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(content: bytes, declared: str = "") -> tuple[str, list[str]]:
    """The text, cleaned, and notes about bytes that are no characters.

    In turn: byte order mark, UTF-8, the encoding that the file or its sender declares, UTF-8 with a few broken
    bytes, a guess. Raises `ExtractError` for bytes that are no text in any of them.
    """
    encoding = marked(content) or wide(content)
    if not encoding and binary(content[:SAMPLE]):
        raise ExtractError("unsupported", "This is no text and no format that is known here.")
    if not encoding:
        try:
            return clean(content.decode()), []
        except UnicodeDecodeError:
            encoding = known(declared) or ("utf-8" if _almost_utf8(content) else _guessed(content))
    text = content.decode(encoding, "replace")
    wrong = text.count("\ufffd")
    notes = [f"{wrong:,} characters could not be read (the text was taken as {encoding})."] if wrong else []
    return clean(text), notes


def binary(sample: bytes) -> bool:
    """Whether these bytes hold too many controls for a text; a stray one may be anywhere."""
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > MOST_CONTROLS * len(sample)


def marked(content: bytes) -> str:
    """The encoding that a byte order mark names, or ""."""
    return next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "")


def wide(content: bytes) -> str:
    """UTF-16 without a mark, by where its zero bytes are, or ""."""
    sample = content[:4096]
    odd, even = sample[1::2].count(0), sample[0::2].count(0)
    half = len(sample) // 2
    if half >= 2 and max(odd, even) > half * 0.4 and min(odd, even) < half * 0.05:
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def known(encoding: str) -> str:
    """Python's name of a declared text encoding, or "" for one that there is not."""
    try:
        found = codecs.lookup(encoding.strip().strip("\"'") or "-")
    except (LookupError, ValueError):
        return ""
    return found.name if found._is_text_encoding else ""


def _almost_utf8(content: bytes) -> bool:
    """Whether most of what is not ASCII is UTF-8: a damaged text, rather than one in another encoding."""
    sample = content[:SAMPLE]
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    right = sum(character > "\x7f" for character in text) - wrong
    return right > 4 * wrong


def _guessed(content: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(content[:SAMPLE]).best()
    # Windows' Western code page decodes what nothing else explains.
    return best.encoding if best else "cp1252"
