"""Text as the rest of the product may rely on it: NFC, newlines alone, nothing that does not print."""

import re
import unicodedata

_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Controls, halves of surrogate pairs, non-characters, byte order marks, soft hyphens, and Unicode's tag characters,
# which nobody sees and a model reads; those in a flag (after U+1F3F4) are part of an emoji.
_DROPPED = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)"
    "|[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\ud800-\udfff\ufeff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    """`text` in NFC with `\\n` for every kind of line break and without what `Extracted` rules out."""
    text = _NEWLINES.sub("\n", text)
    text = _DROPPED.sub(lambda found: found[1] or "", text)
    # What was dropped may have stood between a letter and its accent.
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def one_line(text: str) -> str:
    """`text` cleaned, on one line, with single spaces."""
    return _SPACES.sub(" ", clean(text)).strip()
