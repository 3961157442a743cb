"""What a document is called while nobody has given it a title."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

LONGEST = 500


def name_of(source: str) -> str:
    """The last part of a file's path or of a URL's; a URL without one has its host."""
    if source.startswith(("http://", "https://")):
        parts = urlsplit(source)
        name = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc
    else:
        name = PurePosixPath(source.replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable()).strip()[:LONGEST]
