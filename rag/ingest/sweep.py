"""Removes what is left over: files of documents that are gone, rows of versions that are, and of models given up."""

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from rag import storage, store
from rag.models import Document, Library, Reembedding, Space

logger = logging.getLogger(__name__)

# Seconds for which a file may be without its row: an upload writes it first.
ALONE = 3600.0
BATCH = 500
# How long the vectors of a library's former model are kept, for the way back.
WAY_BACK = timedelta(days=7)


def sweep_files() -> int:
    """Delete stored files that no document names, and uploads that never came to their end. Returns how many."""
    removed = 0
    batch: list[str] = []
    for name in _old_files():
        batch.append(name)
        if len(batch) == BATCH:
            removed += _remove_unknown(batch)
            batch = []
    removed += _remove_unknown(batch)
    before = time.time() - ALONE
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir():
        if path.is_file() and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _old_files(folder: str = "") -> Iterator[str]:
    files = storage.documents()
    before = timezone.now() - timedelta(seconds=ALONE)
    try:
        folders, names = files.listdir(folder)
    except FileNotFoundError:
        return
    for each in folders:
        yield from _old_files(f"{folder}/{each}".lstrip("/"))
    for each in names:
        name = f"{folder}/{each}".lstrip("/")
        try:
            if files.get_modified_time(name) < before:
                yield name
        except FileNotFoundError:
            continue


def _remove_unknown(names: list[str]) -> int:
    known = set(Document.objects.filter(file__in=names).values_list("file", flat=True))
    unknown = [name for name in names if name not in known]
    for name in unknown:
        storage.remove(name)
    return len(unknown)


def tidy_store() -> None:
    """Keep the store's indexes; remove vectors of models that a library has left, or has not gone to, for good."""
    store.current.maintain()
    kept_until = timezone.now() - WAY_BACK
    in_use = Q(state=Reembedding.State.RUNNING) | Q(state=Reembedding.State.DONE, finished_at__gt=kept_until)
    ended = Reembedding.objects.exclude(in_use).select_related("old_space", "new_space", "library")
    for past in ended.filter(Q(old_space__isnull=False) | Q(new_space__isnull=False)):
        for space in filter(None, (past.old_space, past.new_space)):
            if not _is_used(past.library, space, in_use):
                store.current.remove_library(past.library_id, space)
        Reembedding.objects.filter(pk=past.pk).update(old_space=None, new_space=None)


def _is_used(library: Library, space: Space, in_use: Q) -> bool:
    if library.space_id == space.pk:
        return True
    named = Q(old_space=space) | Q(new_space=space)
    return Reembedding.objects.filter(in_use & named, library=library).exists()
