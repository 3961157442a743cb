"""Search in a workspace's libraries: by meaning, by words, or both, fused by the ranks that a passage has in each.

Blocking: for a thread. Everything is read in one snapshot, so that a document that is replaced meanwhile is found as it
was or as it is. While no model answers, words are searched alone, and `Found.note` says so.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from gateway_project.lib.errors import InvalidRequest, ServiceUnavailable
from rag import filters, store
from rag.embedding import client
from rag.embedding.errors import EmbeddingError
from rag.joining import joined
from rag.models import Chunk, Space
from rag.passages import LOOKED_AT
from rag.shelf import Shelf, shelf_of, spaces_of
from rag.store import BadVector, Hit, Scope

LONGEST = 10_000
MOST = 100
# Seconds for the model: more is no search any more. A model that is loaded first may take some.
EMBED_SECONDS, RERANK_SECONDS = 20.0, 20.0
# Milliseconds that the database may take for one statement of a search, however its filter is made.
STATEMENT_MS = 15_000
# Reciprocal-rank fusion's constant, and how deep the lists are that are fused. With the usual 60, a passage that is in
# the midst of both lists comes before the first of one; `make eval-rag` finds more with 20.
RRF, DEPTH = 20, 50
# Passages that a cross-encoder reads.
RERANKED = 30

Mode = Literal["hybrid", "vector", "text"]


@dataclass(frozen=True)
class Query:
    """What is looked for. `libraries`: names or ids, all of the workspace's when empty.

    `rerank`: whether a cross-encoder has the last word; None: if the installation has one.
    """

    text: str
    libraries: Sequence[str | UUID] = ()
    top_k: int = 5
    filters: object = None
    mode: str = "hybrid"
    rerank: bool | None = None


@dataclass(frozen=True)
class Result:
    """A passage: a chunk, or several that stand beside each other.

    `start` and `end` count characters of the document's text; `highlights` those of `content`. `score`: 0 to 1 for
    words, hybrid (1: first by words and by meaning) and a reranker's, the cosine for vectors.
    """

    document_id: UUID
    title: str
    source: str
    library_id: UUID
    library: str
    chunk_id: int
    content: str
    page: int | None
    start: int
    end: int
    score: float
    headings: list[str]
    language: str = ""
    # The chunk's place among those of its document.
    ordinal: int = 0
    highlights: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """`mode` as it was searched, `note` why that is not what was asked for. `strict`: a library is for local models.

    `timings`: milliseconds by step.
    """

    results: list[Result]
    mode: Mode
    note: str
    strict: bool
    timings: dict[str, float]


def search(workspace_id: UUID, query: Query) -> Found:
    """The passages of the workspace's libraries that answer `query` best, best first.

    Raises InvalidRequest for a query that is none (`filters.FilterError` for its filters), NotFound for a library that
    is not in the workspace.
    """
    mode = _checked(query)
    condition = filters.parse(query.filters)
    clock = _Clock()
    rerank = bool(settings.EMBEDDING_RERANK_MODEL) if query.rerank is None else query.rerank
    wanted = max(query.top_k, LOOKED_AT, RERANKED if rerank else 0)
    for _ in range(3):
        spaces = spaces_of(workspace_id, query.libraries) if mode != "text" else []
        vectors, note = _vectors(spaces, query.text, clock)
        with clock.step("search"), _snapshot():
            shelf = shelf_of(workspace_id, query.libraries)
            # Else a library went over to another model in between.
            if mode == "text" or {space.pk for space in shelf.spaces} <= {space.pk for space in spaces}:
                searched = _Search(shelf, query.text, condition, mode if vectors or not spaces else "text", wanted)
                results = _read(workspace_id, shelf, searched.hits(vectors))
                break
    else:
        raise ServiceUnavailable("The libraries are going over to another model; try again.")
    if rerank and results:
        results, failed = _reranked(query.text, results, clock)
        note = " ".join(filter(None, [note, failed]))
    with clock.step("join"):
        results = joined(results, query.top_k)
    results = _highlighted(query.text, results, clock)
    return Found(results, searched.mode, note, shelf.strict, clock.timings)


def _checked(query: Query) -> Mode:
    if not query.text.strip():
        raise InvalidRequest("query: must not be empty.", param="query")
    if len(query.text) > LONGEST:
        raise InvalidRequest(f"query: may have at most {LONGEST} characters.", param="query")
    if not 1 <= query.top_k <= MOST:
        raise InvalidRequest(f"top_k: must be from 1 to {MOST}.", param="top_k")
    for mode in ("hybrid", "vector", "text"):
        if query.mode == mode:
            return mode
    raise InvalidRequest("mode: must be hybrid, vector or text.", param="mode")


class _Clock:
    """How long each step took."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            took = (time.perf_counter() - started) * 1000
            self.timings[name] = round(self.timings.get(name, 0.0) + took, 2)


@contextmanager
def _snapshot() -> Iterator[None]:
    """A transaction that sees the database as it is at its beginning; within another one, what that sees.

    Raises ServiceUnavailable for a statement that took more than `STATEMENT_MS`.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
        try:
            yield
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled):
                raise ServiceUnavailable("The search takes too long; make its filter simpler, or try again.") from None
            raise


def _vectors(spaces: Sequence[Space], text: str, clock: _Clock) -> tuple[dict[int, bytes], str]:
    """The query's vector in each space, and why there is none in some."""
    made: dict[int, bytes] = {}
    notes: list[str] = []
    if not spaces:
        return made, ""
    with clock.step("embed"):
        for space in spaces:
            try:
                made[space.pk] = _vector(space, text)
            except (EmbeddingError, BadVector) as error:
                notes.append(str(error))
    if not notes:
        return made, ""
    what = "Searched by words alone" if not made else "Some libraries were searched by words alone"
    return made, f"{what}: {' '.join(dict.fromkeys(notes))}"


def _vector(space: Space, text: str) -> bytes:
    """Raises EmbeddingError; BadVector where the worker has another model than the one that made the space."""
    embedded = client.current.embed_sync([text], model=space.model, role="query", truncate=True, timeout=EMBED_SECONDS)
    if (embedded.model, embedded.revision, embedded.dimension) != (space.model, space.revision, space.dimension):
        raise BadVector(f"{space.model} is here in another revision than the libraries were embedded with.")
    return embedded.vectors[0]


@dataclass(frozen=True)
class _Search:
    """One search over all spaces of the shelf, within a snapshot."""

    shelf: Shelf
    text: str
    condition: filters.Condition | None
    mode: Mode
    wanted: int

    def hits(self, vectors: dict[int, bytes]) -> list[Hit]:
        """The best of all lists, best first, more by some than are wanted: a few may have no chunk any more."""
        depth = max(DEPTH, self.wanted) if self.mode == "hybrid" else self.wanted
        by_meaning: list[list[Hit]] = []
        by_words: list[list[Hit]] = []
        for space in self.shelf.spaces:
            scope = Scope(self.shelf.libraries[space.pk], self.condition, everything=self.shelf.whole)
            vector = vectors.get(space.pk) if self.mode != "text" else None
            if vector is not None:
                by_meaning.append(store.current.search_vector(space, vector, scope, depth))
            if vector is None or self.mode == "hybrid":
                by_words.append(store.current.search_text(space, self.text, scope, depth))
        if len(by_meaning) + len(by_words) == 1:
            return [*by_meaning, *by_words][0][: self.wanted]
        return _fused([by_meaning, by_words])[: self.wanted]


def _fused(kinds: Sequence[Sequence[Sequence[Hit]]]) -> list[Hit]:
    """Reciprocal-rank fusion. Lists of one kind are of different spaces, whose scores cannot be compared."""
    scores: dict[int, float] = defaultdict(float)
    used = [lists for lists in kinds if lists]
    for lists in used:
        for hits in lists:
            for rank, hit in enumerate(hits, start=1):
                scores[hit.chunk_id] += (RRF + 1) / (RRF + rank) / len(used)
    return [Hit(chunk, score) for chunk, score in sorted(scores.items(), key=lambda each: (-each[1], each[0]))]


def _read(workspace_id: UUID, shelf: Shelf, hits: Sequence[Hit]) -> list[Result]:
    """The passages that were found, in one query."""
    rows = Chunk.objects.filter(workspace_id=workspace_id, pk__in=[hit.chunk_id for hit in hits])
    columns = (
        "pk", "document_id", "document__title", "document__source", "document__language", "library_id",
        "content", "page", "start", "end", "headings", "ordinal",
    )  # fmt: skip
    found = {row["pk"]: row for row in rows.values(*columns)}
    return [_result(found[hit.chunk_id], hit, shelf) for hit in hits if hit.chunk_id in found]


def _result(row: dict[str, Any], hit: Hit, shelf: Shelf) -> Result:
    return Result(
        document_id=row["document_id"],
        title=row["document__title"],
        source=row["document__source"],
        language=row["document__language"],
        library_id=row["library_id"],
        library=shelf.names.get(row["library_id"], ""),
        chunk_id=hit.chunk_id,
        content=row["content"],
        page=row["page"],
        start=row["start"],
        end=row["end"],
        score=hit.score,
        headings=row["headings"],
        ordinal=row["ordinal"],
    )


def _reranked(text: str, results: list[Result], clock: _Clock) -> tuple[list[Result], str]:
    """In the order that a cross-encoder gives them; as they were, and why, when there is none."""
    if not settings.EMBEDDING_RERANK_MODEL:
        return results, "Not reranked: this installation has no reranker (EMBEDDING_RERANK_MODEL)."
    with clock.step("rerank"):
        try:
            scores = client.current.rerank_sync(text, [result.content for result in results], timeout=RERANK_SECONDS)
        except EmbeddingError as error:
            return results, f"Not reranked: {error}"
    order = sorted(zip(scores, results, strict=True), key=lambda each: -each[0])
    return [replace(result, score=score) for score, result in order], ""


def _highlighted(text: str, results: list[Result], clock: _Clock) -> list[Result]:
    with clock.step("highlight"):
        found = store.current.highlights(text, [(result.content, result.language) for result in results])
    return [
        replace(result, highlights=[list(each) for each in ranges])
        for result, ranges in zip(results, found, strict=True)
    ]
