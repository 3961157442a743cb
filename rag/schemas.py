"""The shapes of the libraries API: what it takes, checked, and what it shows."""

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ninja import Schema
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from gateway_project.lib.schemas import Strict
from rag.languages import LANGUAGES
from rag.models import OCR_AUTO, OCR_OFF, Document, Library, Reembedding, Status

if TYPE_CHECKING:
    from rag.retrieve import Found

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# In tokens of the embedding model; what that model takes at most bounds them further.
CHUNK_TOKENS = (16, 8192)
# Characters of a query, and passages that it may find.
LONGEST_QUERY, MOST_RESULTS = 10_000, 100
# Metadata: what a filter can ask about. Characters of a key, keys and values in all, levels, bytes as JSON.
KEY_LENGTH, MOST_VALUES, DEEPEST, METADATA_BYTES = 120, 500, 5, 16 * 1024


def _plain(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("must hold no control characters.")
    return text.strip()


def _filled(text: str) -> str:
    if not text:
        raise ValueError("must not be empty.")
    return text


def _reader(name: str) -> str:
    return name.lower() if _filled(name).lower() in (OCR_AUTO, OCR_OFF) else name


def _language(code: str) -> str:
    if code and code not in LANGUAGES:
        raise ValueError("must be a language's two letters, such as en (ISO 639-1).")
    return code


def _libraries(given: Any) -> Any:
    several = given if isinstance(given, list) else [given]
    if not 0 < len(several) <= 100 or not all(isinstance(each, str) and 0 < len(each) <= 120 for each in several):
        raise ValueError("must be a library's name or id, or a list of 1 to 100 of them.")
    return given


def checked_metadata(given: Any) -> dict[str, Any]:
    """`given` if it can be a document's metadata. Raises `ValueError` that says what is in the way."""
    if type(given) is not dict:
        raise ValueError("must be a JSON object.")
    size = values = 0
    waiting: list[tuple[Any, int]] = [(given, 1)]
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if depth > DEEPEST:
            raise ValueError(f"may have at most {DEEPEST} levels.")
        if values > MOST_VALUES:
            raise ValueError(f"may have at most {MOST_VALUES} values.")
        if isinstance(value, dict):
            for key in value:
                if type(key) is not str or not 0 < len(key) <= KEY_LENGTH or CONTROL.search(key):
                    raise ValueError(
                        f"its keys must have 1 to {KEY_LENGTH} characters, none of them control characters."
                    )
                size += len(key.encode()) + 4
            waiting.extend((part, depth + 1) for part in value.values())
        elif isinstance(value, list):
            waiting.extend((part, depth + 1) for part in value)
        elif isinstance(value, str):
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError("its texts must be valid Unicode without NUL.")
            size += len(value.encode()) + 2
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("its numbers must be finite.")
        elif not (value is None or isinstance(value, bool | int | float)):
            raise ValueError("must hold nothing but JSON values.")
        elif type(value) is int and abs(value) >= 10**100:
            raise ValueError("its numbers must be under 1e100.")
        if size > METADATA_BYTES:
            raise ValueError(f"may have at most {METADATA_BYTES} bytes.")
    return given


Name = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_plain), AfterValidator(_filled)]
LibraryName = Annotated[str, Field(min_length=1, max_length=120)]
Libraries = Annotated[
    LibraryName | Annotated[list[LibraryName], Field(min_length=1, max_length=100)], BeforeValidator(_libraries)
]
ModelName = Annotated[str, Field(max_length=300), AfterValidator(_plain)]
Language = Annotated[str, AfterValidator(_language)]
Ocr = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_plain), AfterValidator(_reader)]
Title = Annotated[str, Field(max_length=500), AfterValidator(_plain)]
FilledTitle = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_plain), AfterValidator(_filled)]
Source = Annotated[str, Field(max_length=1000), AfterValidator(_plain)]
Metadata = Annotated[dict[str, Any], AfterValidator(checked_metadata)]
Tokens = Annotated[StrictInt, Field(ge=CHUNK_TOKENS[0], le=CHUNK_TOKENS[1])]
Overlap = Annotated[StrictInt, Field(ge=0, le=CHUNK_TOKENS[1] // 2)]


# --- Libraries -----------------------------------------------------------------------------------


class LibraryChange(Strict):
    """The fields of a library that can be set; null goes back to the installation's default."""

    name: Name = ""
    model: ModelName | None = Field(
        None,
        description="The embedding model; null: the installation's. Once there are documents, `…/reembed` changes it.",
    )
    chunk_tokens: Tokens | None = Field(
        None,
        description="How long a chunk may be, in tokens of the embedding model, and at most what that reads. Holds for "
        "what is ingested next; `…/rechunk` cuts the documents that are there again.",
    )
    overlap: Overlap | None = Field(
        None, description="Tokens that a chunk shares with the one before; at most half of `chunk_tokens`."
    )
    contextual_header: StrictBool = Field(
        True, description="Whether a chunk is embedded with its document's title and its section before it."
    )
    language: Language | None = Field(None, description="ISO 639-1; null: found out for each document.")
    privacy_mode: Literal["strict", "flexible"] | None = Field(
        None, description="strict: an answer over its documents is made by local models alone."
    )
    ocr: Ocr = Field(
        OCR_AUTO,
        description="Who reads pages without text of what is ingested next. auto: tesseract, or where it is not "
        "installed a model that sees, of the workspace's default policy; off: nobody; else the model, as a request "
        "names one. Of a strict library, local models alone. Their calls are in the ledger and within budgets.",
    )


class NewLibrary(LibraryChange):
    name: Name


class RechunkOut(Schema):
    documents: int = Field(description="That are queued to be cut again.")


class ReembedIn(Strict):
    model: ModelName = Field(description="The embedding model to go to; empty: the installation's.")


class ReembeddingOut(Schema):
    id: str
    model: str
    state: Literal["running", "done", "cancelled", "failed"]
    done: int
    total: int
    progress: float = Field(description="0 to 1.")
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class LibraryOut(Schema):
    id: str
    name: str
    model: str | None = Field(description="As it was asked for; null: the installation's.")
    embedded_by: str | None = Field(description="The model that made its vectors; null before the first document.")
    dimension: int | None
    chunk_tokens: int | None
    overlap: int | None
    contextual_header: bool
    language: str | None
    privacy_mode: Literal["strict", "flexible"] | None
    ocr: str
    documents: int
    chunks: int
    reembedding: ReembeddingOut | None = Field(description="The latest one, if there was any.")
    created_at: datetime
    updated_at: datetime


# --- Documents -----------------------------------------------------------------------------------


class DocumentOut(Schema):
    id: str
    library_id: str
    library: str
    title: str
    source: str | None = Field(description="The file's name, its path in a ZIP, or the URL.")
    media_type: str | None
    language: str | None
    metadata: dict[str, Any]
    status: Status = Field(description="Of the newest version; an older one is searched until that is ready.")
    progress: float = Field(description="0 to 1: the share of its chunks that is embedded.")
    error: str | None = Field(description="Why it failed, for people.")
    error_code: str | None
    notes: list[str] = Field(description="What was left out although it is ready.")
    version: int
    live_version: int = Field(description="The version that is searched; 0: none yet.")
    size: int = Field(description="Bytes.")
    sha256: str
    pages: int | None
    chunks: int = Field(description="That can be found.")
    chunks_done: int
    chunks_total: int = Field(description="Of the newest version; 0 until it is parsed.")
    created_at: datetime
    updated_at: datetime


class TextIn(Strict):
    """A document of plain text."""

    text: Annotated[str, Field(min_length=1)]
    title: Title = ""
    source: Source = Field("", description="What it is a version of: a later text of the same source takes its place.")
    metadata: Metadata = Field(default_factory=dict)


class UrlIn(Strict):
    """A document that is fetched."""

    url: Annotated[str, Field(min_length=1, max_length=1000)]
    title: Title = ""
    metadata: Metadata = Field(default_factory=dict)


class SearchIn(Strict):
    """A search. Without `library` all of the workspace's are searched together."""

    query: Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY)]
    library: Libraries | None = Field(None, description="A library's name or id, or several.")
    top_k: Annotated[StrictInt, Field(ge=1, le=MOST_RESULTS)] = 5
    filters: dict[str, Any] | None = Field(
        None,
        description='`{"author": {"eq": "Ada"}, "year": {"gte": 2020}}` over the metadata; eq ne gt gte lt lte in nin '
        "exists, and or not; also document_id, title, source, language, created_at and page.",
    )
    mode: Literal["hybrid", "vector", "text"] = "hybrid"
    rerank: StrictBool | None = Field(None, description="null: where the installation has a reranker.")

    @property
    def libraries(self) -> list[str]:
        """The libraries that are named."""
        if self.library is None:
            return []
        return [self.library] if isinstance(self.library, str) else self.library


class ResultOut(Schema):
    document_id: str
    title: str
    source: str | None
    library: str
    library_id: str
    chunk_id: str
    content: str
    page: int | None
    start: int = Field(description="Where it begins in the document's text, in characters.")
    end: int
    score: float
    highlights: list[list[int]] = Field(description="[start, end) of the query's words in `content`.")
    headings: list[str]


class FoundOut(Schema):
    query: str
    count: int
    mode: Literal["hybrid", "vector", "text"] = Field(description="As it was searched: text while no model answers.")
    note: str | None
    results: list[ResultOut]


class Refused(Schema):
    name: str
    error: str


class Uploaded(Schema):
    """What came of several files, or of a ZIP's."""

    data: list[DocumentOut]
    created: int = Field(description="Those that are new, or a new version; the others were here.")
    refused: list[Refused]


def show_found(query: str, found: "Found") -> dict[str, Any]:
    """What a search found, as the APIs show it."""
    return {
        "query": query,
        "count": len(found.results),
        "mode": found.mode,
        "note": found.note or None,
        "results": [
            {
                "document_id": str(result.document_id),
                "title": result.title,
                "source": result.source or None,
                "library": result.library,
                "library_id": str(result.library_id),
                "chunk_id": str(result.chunk_id),
                "content": result.content,
                "page": result.page,
                "start": result.start,
                "end": result.end,
                "score": round(result.score, 6),
                "highlights": [list(span) for span in result.highlights],
                "headings": list(result.headings),
            }
            for result in found.results
        ],
    }


def show_library(
    library: Library, documents: int = 0, chunks: int = 0, reembedding: Reembedding | None = None
) -> dict[str, Any]:
    """`library` as the API shows it. Reads its space unless that was selected with it."""
    return {
        "id": str(library.pk),
        "name": library.name,
        "model": library.model or None,
        "embedded_by": library.space.model if library.space else None,
        "dimension": library.space.dimension if library.space else None,
        "chunk_tokens": library.chunk_tokens,
        "overlap": library.overlap,
        "contextual_header": library.contextual_header,
        "language": library.language or None,
        "privacy_mode": library.privacy_mode or None,
        "ocr": library.ocr,
        "documents": documents,
        "chunks": chunks,
        "reembedding": None if reembedding is None else show_reembedding(reembedding),
        "created_at": library.created_at,
        "updated_at": library.updated_at,
    }


def show_reembedding(reembedding: Reembedding) -> dict[str, Any]:
    """`reembedding` as the API shows it."""
    done = reembedding.state == Reembedding.State.DONE
    return {
        "id": str(reembedding.pk),
        "model": reembedding.model,
        "state": reembedding.state,
        "done": reembedding.done,
        "total": reembedding.total,
        "progress": 1.0 if done else min(1.0, reembedding.done / reembedding.total) if reembedding.total else 0.0,
        "error": reembedding.error or None,
        "created_at": reembedding.created_at,
        "finished_at": reembedding.finished_at,
    }


def show_document(document: Document) -> dict[str, Any]:
    """`document` as the APIs show it. Reads its library unless that was selected with it."""
    return {
        "id": str(document.pk),
        "library_id": str(document.library_id),
        "library": document.library.name,
        "title": document.title,
        "source": document.source or None,
        "media_type": document.media_type or None,
        "language": document.language or None,
        "metadata": document.metadata,
        "status": document.status,
        "progress": round(document.progress, 4),
        "error": document.error or None,
        "error_code": document.error_code or None,
        "notes": document.notes,
        "version": document.version,
        "live_version": document.live_version,
        "size": document.size,
        "sha256": bytes(document.sha256).hex(),
        "pages": document.pages,
        "chunks": document.chunks,
        "chunks_done": document.chunks_done,
        "chunks_total": document.chunks_total,
        "created_at": document.created_at,
        "updated_at": document.updated_at,
    }
