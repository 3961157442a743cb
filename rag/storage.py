"""Where uploaded files lie: Django's storage `documents`, as `<workspace>/<library>/<file>`, for this user alone."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.core.files.temp import NamedTemporaryFile
from django.core.files.uploadedfile import TemporaryUploadedFile

from gateway_project.lib.errors import InvalidRequest, RequestTooLarge
from gateway_project.lib.ids import uuid7

BLOCK = 256 * 1024


@dataclass(frozen=True)
class Stored:
    """A file that came in whole: its name in the storage, length in bytes, and SHA-256."""

    name: str
    size: int
    sha256: bytes


def documents() -> Storage:
    """The storage of uploaded files."""
    return storages["documents"]


def store(workspace_id: UUID, library_id: UUID, content: BinaryIO | Iterable[bytes]) -> Stored:
    """Write `content` to the storage as it comes. What does not come whole leaves nothing behind.

    Raises `RequestTooLarge` above `MAX_UPLOAD_BYTES`, `InvalidRequest` when there is nothing, and what reading raises.
    """
    name = f"{workspace_id}/{library_id}/{uuid7()}"
    digest, size = hashlib.sha256(), 0
    # The storage moves such a file to its place.
    with TemporaryUploadedFile("document", "", 0, None) as arriving:
        for block in blocks(content):
            size += len(block)
            if size > settings.MAX_UPLOAD_BYTES:
                raise RequestTooLarge(f"file: may have at most {settings.MAX_UPLOAD_BYTES} bytes.", param="file")
            digest.update(block)
            arriving.write(block)
        if not size:
            raise InvalidRequest("file: is empty.", param="file")
        arriving.flush()
        return Stored(documents().save(name, arriving), size, digest.digest())


def blocks(content: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """What `content` holds, piece by piece."""
    read: Any = getattr(content, "read", None)
    if read is None:
        yield from content
        return
    while block := read(BLOCK):
        yield block


def remove(name: str) -> None:
    """Delete a file. One that is gone is no error: deleting may be tried twice."""
    if name:
        with contextlib.suppress(FileNotFoundError):
            documents().delete(name)


def remove_library(workspace_id: UUID, library_id: UUID) -> None:
    """Delete all files of a library."""
    folder = f"{workspace_id}/{library_id}"
    with contextlib.suppress(FileNotFoundError):
        for name in documents().listdir(folder)[1]:
            remove(f"{folder}/{name}")
        documents().delete(folder)


@contextlib.contextmanager
def local_path(name: str) -> Iterator[Path]:
    """The file on this machine's disk, for a parser to open: where it lies, or a copy of what lies elsewhere.

    Raises `FileNotFoundError`.
    """
    storage = documents()
    try:
        path = Path(storage.path(name))
    except NotImplementedError:
        with storage.open(name) as remote, NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as copy:
            for block in remote.chunks():
                copy.write(block)
            copy.flush()
            yield Path(copy.name)
        return
    if not path.is_file():
        raise FileNotFoundError(name)
    yield path
