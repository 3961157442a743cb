"""From a file to text and chunks, which are staged together in one transaction."""

import re
from collections.abc import Callable, Sequence

from rag import storage
from rag.chunk import DEFAULTS, Piece, chunk
from rag.embedding.catalog import card
from rag.extract import Extracted, ExtractError, extract
from rag.extract.builder import stem
from rag.ingest import staging
from rag.ingest.lease import Lease
from rag.ingest.reading import ocr_of
from rag.models import Document, Library, Space
from rag.naming import name_of

_WORD = re.compile(r"[^\W\d_]{2,}")
# Tokens that a model's own marks take of what it reads at most.
MARKS = 8


def parse(document: Document, lease: Lease, space: Space) -> None:
    """Stage the document's text and chunks. Raises ExtractError, EmbeddingError, FileNotFoundError, Lost."""
    ocr, limits = ocr_of(document, lease.check)
    with storage.local_path(document.file) as path:
        name = document.source or document.title
        extracted = extract(path, name=name, media_type=document.media_type, limits=limits, ocr=ocr, tick=lease.check)
    lease.check()
    if not document.title or document.title == name_of(document.source):
        document.title = extracted.title[:500] or document.title
    document.language = document.library.language or extracted.language
    pieces = pieces_of(extracted, document.library, space, title_in_headers(document))
    if not pieces:
        raise ExtractError("empty", "There is no text in it.")
    staging.stage(document, lease, space, extracted, pieces)


def pieces_of(extracted: Extracted, library: Library, space: Space, title: str) -> list[Piece]:
    """The chunks of a text, as the library is set and its model can take them."""
    size, overlap = sizes(library, space)
    return chunk(
        extracted,
        size=size,
        overlap=overlap,
        count=_counter(space.model),
        title=title,
        contextual_header=library.contextual_header,
    )


def title_in_headers(document: Document) -> str:
    """The title, if it says what the text is about: a file's name of one word ("export", "scan 12") seldom does.

    Before every chunk, such a name makes them more alike, and a question's passages harder to tell from the others.
    """
    name = name_of(document.source)
    is_name = document.title in (name, stem(name))
    return "" if is_name and len(_WORD.findall(stem(name))) < 2 else document.title


def sizes(library: Library, space: Space) -> tuple[int, int]:
    """Tokens of a chunk and of what it shares with the one before, within what the model can read."""
    size, overlap = library.chunk_tokens or DEFAULTS[0], library.overlap
    most = card(space.model).max_tokens
    if most:
        size = min(size, max(16, most - MARKS))
    return size, min(DEFAULTS[1] if overlap is None else overlap, size // 2)


def _counter(model: str) -> Callable[[str], Sequence[tuple[int, int]]]:
    """The model's tokens of a text, as character offsets."""
    from rag.embedding import engine

    return lambda text: engine.current.tokens(text, model)
