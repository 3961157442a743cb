"""Libraries that last as long as a trial: the same files under several settings, in a workspace of their own.

The files go the way that all files go: they are uploaded, and whatever worker there is ingests them.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from accounts.models import Workspace
from rag import services, storage
from rag.models import Document, Library, Space, Status
from rag.queries import WAITING

# Seconds without a single chunk more, after which nobody is at it.
PATIENCE, LOOK = 300.0, 0.2


class TrialFailed(Exception):
    """A file could not be ingested, or nobody ingests."""


@dataclass(frozen=True, slots=True)
class File:
    """A document of a trial."""

    name: str
    content: bytes
    title: str = ""


@contextmanager
def workspace() -> Iterator[Workspace]:
    """One that nobody is a member of, and that is gone with all that was put into it when the block ends."""
    made = Workspace.objects.create(name="Evaluation of retrieval")
    try:
        yield made
    finally:
        remove(made)


def remove(gone: Workspace) -> None:
    """Delete a trial's workspace, its documents' files and its vectors."""
    actor = services.Actor(gone.pk)
    for library in Library.objects.filter(workspace=gone):
        services.delete_library(actor, library)
    Space.objects.filter(workspace=gone).delete()
    gone.delete()


def make(within: Workspace, name: str, settings: Mapping[str, Any], files: Iterable[File]) -> Library:
    """A library with these files in it, on their way."""
    actor = services.Actor(within.pk)
    library = services.create_library(actor, {"name": name, **settings})
    for file in files:
        services.upload(actor, library, name=file.name, content=BytesIO(file.content), title=file.title)
    return library


def copies(library: Library) -> Iterator[File]:
    """The files of a library's documents, to make another one of."""
    for document in Document.objects.filter(library=library).iterator():
        with storage.local_path(document.file) as path:
            yield File(document.source or document.title, path.read_bytes(), document.title)


def wait(library: Library) -> None:
    """Return when all of it can be searched. Raises `TrialFailed`."""
    last, since = -1, time.monotonic()
    documents = Document.objects.filter(library=library)
    while documents.filter(status__in=WAITING).exists():
        done = sum(documents.values_list("chunks_done", flat=True)) + documents.filter(status=Status.READY).count()
        if done != last:
            last, since = done, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            raise TrialFailed("The documents wait, and no worker ingests them.")
        time.sleep(LOOK)
    for document in documents.filter(status=Status.FAILED)[:1]:
        raise TrialFailed(f"{document.title}: {document.error}")
    library.refresh_from_db()
