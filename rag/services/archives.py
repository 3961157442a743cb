"""Several documents at once: the files of a ZIP."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.core.files.temp import NamedTemporaryFile

from gateway_project.lib.errors import ApiError, InvalidRequest, NotFound, RequestTooLarge
from rag import storage
from rag.extract import ExtractError, Member, members
from rag.models import Document, Library
from rag.services.actor import Actor
from rag.services.documents import upload

ZIP_TYPES = frozenset({"application/zip", "application/x-zip-compressed"})


@dataclass
class Bulk:
    """What came of several files: their documents, which of them are new, and names with why they were refused."""

    documents: list[Document] = field(default_factory=list)
    created: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    _known: set[UUID] = field(default_factory=set)

    def add(self, document: Document, created: bool) -> None:
        """One more; a second file of the same bytes is the same document."""
        if document.pk not in self._known:
            self._known.add(document.pk)
            self.documents.append(document)
        self.created += created

    def extend(self, other: "Bulk") -> None:
        """What came of more files."""
        for document in other.documents:
            self.add(document, created=False)
        self.created += other.created
        self.refused += other.refused


def is_archive(name: str, media_type: str = "") -> bool:
    """Whether an upload is a ZIP of documents. (Office files are ZIPs as well, and are documents.)"""
    return name.lower().endswith(".zip") or media_type.partition(";")[0].strip().lower() in ZIP_TYPES


def upload_archive(
    actor: Actor,
    library: Library,
    *,
    name: str,
    content: BinaryIO,
    metadata: Mapping[str, Any] | None = None,
) -> Bulk:
    """Queue each file of a ZIP; its path in there is its source, so that a later ZIP brings new versions.

    A file that cannot be taken is refused by name, and stops no other. Raises `InvalidRequest` when it is no ZIP, or
    one that was made to do harm, `RequestTooLarge`.
    """
    bulk = Bulk()
    with NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR, suffix=".zip") as archive:
        size = 0
        for block in storage.blocks(content):
            size += len(block)
            if size > settings.MAX_UPLOAD_BYTES:
                raise RequestTooLarge(f"file: may have at most {settings.MAX_UPLOAD_BYTES} bytes.", param="file")
            archive.write(block)
        archive.flush()
        try:
            for member in members(archive.name):
                _take(actor, library, member, metadata, bulk)
        except ExtractError as error:
            if not bulk.documents:
                raise InvalidRequest(f"file: {error}", param="file") from None
            bulk.refused.append((name, str(error)))
    return bulk


def _take(actor: Actor, library: Library, member: Member, metadata: Mapping[str, Any] | None, bulk: Bulk) -> None:
    try:
        with member.open() as content:
            bulk.add(*upload(actor, library, name=member.name, content=content, metadata=metadata))
    except NotFound:
        raise
    except (ApiError, ExtractError) as error:
        # The name stands beside it: "file: is empty." becomes "It is empty."
        bulk.refused.append((member.name, re.sub(r"^file: ", "It ", str(error))))
