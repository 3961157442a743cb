"""Libraries with documents, chunks and entries, put there as ingestion puts them, with vectors of the test's own."""

import hashlib
import random
import struct
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from accounts.models import Workspace
from rag import store
from rag.models import Chunk, Document, Library, Space

DIMENSION = 8


def vector(*numbers: float, dimension: int = DIMENSION) -> bytes:
    """A vector that begins with these numbers; the rest is 0."""
    return struct.pack(f"<{dimension}f", *numbers, *[0.0] * (dimension - len(numbers)))


def any_vector(random_: random.Random, dimension: int = DIMENSION) -> bytes:
    """A vector in some direction."""
    return struct.pack(f"<{dimension}f", *(random_.gauss(0, 1) for _ in range(dimension)))


def make_space(workspace: Workspace, dimension: int = DIMENSION, model: str = "test/model") -> Space:
    """The workspace's space of a model that does not exist."""
    return Space.objects.get_or_create(workspace=workspace, model=model, dimension=dimension)[0]


def make_library(workspace: Workspace, name: str = "default", space: Space | None = None) -> Library:
    """A library whose documents are embedded by `space`'s model."""
    return Library.objects.create(workspace=workspace, name=name, space=space or make_space(workspace))


def make_document(
    library: Library,
    contents: Sequence[str],
    vectors: Sequence[bytes] | None = None,
    *,
    pages: Sequence[int | None] | None = None,
    header: str = "",
    **fields: Any,
) -> Document:
    """A ready document with a chunk per content. Vectors are 1, 0, 0, … where none are told."""
    assert library.space is not None
    document = Document.objects.create(
        workspace_id=library.workspace_id,
        library=library,
        chunks=len(contents),
        size=1,
        **{
            "status": "ready",
            "live_version": 1,
            "title": "A title",
            "language": "en",
            "sha256": random.randbytes(32),
            **fields,
        },
    )
    chunks = Chunk.objects.bulk_create(
        Chunk(
            workspace_id=library.workspace_id,
            library=library,
            document=document,
            ordinal=number,
            content=content,
            start=0,
            end=len(content),
            page=pages[number] if pages else None,
            header=header,
            tokens=1,
            hash=hashlib.sha256(content.encode()).digest(),
        )
        for number, content in enumerate(contents)
    )
    given = vectors or [vector(1.0, dimension=library.space.dimension)] * len(contents)
    with transaction.atomic():
        store.current.put(
            library.space,
            [
                store.Entry(chunk.pk, document.pk, library.pk, each, chunk.content, header, document.language)
                for chunk, each in zip(chunks, given, strict=True)
            ],
        )
    return document
