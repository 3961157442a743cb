"""Source code, settings, JSON and XML: kept as they are, in pieces that begin where the indentation ends."""

from rag.extract.builder import Builder
from rag.extract.decode import decoded
from rag.extract.parsers.html import declared
from rag.extract.source import Source

# A definition shorter than this stays with the next.
SHORT = 200


def parse(source: Source, builder: Builder) -> None:
    content = source.text_bytes(builder.limits.characters)
    text, notes = decoded(content, source.charset or declared(content))
    builder.keep(text)
    # A name says more than a first line; code has no title.
    builder.entitle(source.name.replace("\\", "/").rpartition("/")[2])
    for note in notes:
        builder.note(note)
    start = at = 0
    blank = False
    while at < len(text):
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        line = text[at : min(stop, at + 200)]
        if blank and line[:1] not in {" ", "\t", "}", ")", "]", ""} and at - start >= SHORT:
            _mark(builder, text, start, at)
            start = at
        blank = not line.strip()
        at = stop + 1
    _mark(builder, text, start, len(text))


def _mark(builder: Builder, text: str, start: int, end: int) -> None:
    part = text[start:end]
    if part.strip():
        skipped = len(part) - len(part.lstrip("\n"))
        builder.mark("code", start + skipped, start + len(part.rstrip()))
