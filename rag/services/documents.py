"""What can be done to a document. Callers have checked the role; library and document are of the actor's workspace."""

import logging
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any, BinaryIO

from django.db import connection, transaction
from django.utils import timezone

from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound
from rag import storage
from rag.models import Document, Library, StagedChunk, StagedText, Status
from rag.naming import name_of
from rag.queries import WAITING
from rag.schemas import CONTROL, checked_metadata
from rag.services.actor import Actor
from rag.services.gone import tell
from rag.services.hints import work_is_there
from rag.services.room import require_room

logger = logging.getLogger(__name__)

# First half of an advisory lock's key; the second is the library's.
_UPLOAD_LOCK = 0x7261_6721
CANCELLED = "cancelled"


def upload(
    actor: Actor,
    library: Library,
    *,
    name: str,
    content: BinaryIO | Iterable[bytes],
    media_type: str = "",
    title: str = "",
    source: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Document, bool]:
    """Store a file and queue it. The document, and whether there is anything to do: not for bytes that are here.

    `source` is what it is a version of, by default the file's name: other bytes of the same source are that document's
    next version. Bytes that the library has are that document, which is returned as it is, or begun again where it had
    failed. Raises `InvalidRequest`, `RequestTooLarge`, `NotFound` when the library is gone meanwhile.
    """
    facts = _Facts.of(name, media_type, title, source, metadata)
    stored = storage.store(actor.workspace_id, library.pk, content)
    try:
        return _enter(actor, library, stored, facts)
    except BaseException:
        storage.remove(stored.name)
        raise


def upload_text(
    actor: Actor,
    library: Library,
    *,
    text: str,
    title: str = "",
    source: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Document, bool]:
    """As `upload`, of a text. It is no version of another one unless `source` says of which."""
    if not text.strip():
        raise InvalidRequest("text: must not be empty.", param="text")
    return upload(
        actor,
        library,
        name=title or _first_line(text),
        content=BytesIO(text.encode("utf-8", "replace")),
        media_type="text/plain",
        title=title,
        source=source,
        metadata=metadata,
    )


@transaction.atomic
def delete_document(actor: Actor, document: Document) -> None:
    """Delete a document: its text, vectors and file, and what is being made of it."""
    locked = _lock(document)
    actor.record(
        "document.deleted",
        locked,
        old={"title": locked.title, "source": locked.source, "library": locked.library.name, "chunks": locked.chunks},
    )
    Document.objects.filter(pk=locked.pk)._raw_delete(using="default")
    tell(locked.workspace_id, [locked.library_id], [locked.pk])
    transaction.on_commit(lambda: storage.remove(locked.file), robust=True)


@transaction.atomic
def cancel(actor: Actor, document: Document) -> Document:
    """Stop what is being made of a document's newest version. One that is done is as it was; an older version stays.

    A worker that is at it finds out at its next step, and can write nothing any more.
    """
    locked = _lock(document)
    if locked.status not in WAITING:
        return locked
    if locked.live_version == locked.version:
        # It was being cut again, and is what it was.
        locked.status, locked.error, locked.next_try_at = Status.READY, "", None
        locked.chunks_done = locked.chunks_total = locked.chunks
    else:
        _end_cancelled(locked)
    _release(locked)
    locked.save()
    StagedChunk.objects.filter(document=locked)._raw_delete(using="default")
    StagedText.objects.filter(document=locked)._raw_delete(using="default")
    return locked


def _end_cancelled(document: Document) -> None:
    document.status, document.cancelled, document.error_code = Status.FAILED, True, CANCELLED
    still = f"; version {document.live_version} is still searched" if document.live_version else ""
    document.error = f"Cancelled{still}."
    document.chunks_done = document.chunks_total = 0


@transaction.atomic
def retry(actor: Actor, document: Document) -> Document:
    """Begin again with a document that failed, where it stopped. Raises `Conflict` for one that did not fail."""
    locked = _lock(document)
    if locked.status in WAITING:
        return locked
    if locked.status != Status.FAILED:
        raise Conflict("This document did not fail; there is nothing to try again.")
    _queue(locked)
    locked.save()
    return locked


@transaction.atomic
def change_document(
    actor: Actor, document: Document, *, title: str | None = None, metadata: Mapping[str, Any] | None = None
) -> Document:
    """Set a document's title or metadata, which filters see at once. Raises `InvalidRequest`."""
    locked = _lock(document)
    old = {"title": locked.title, "metadata": locked.metadata}
    if title is not None:
        locked.title = _clean("title", title, 500) or locked.title
    if metadata is not None:
        locked.metadata = _metadata(metadata)
    locked.save(update_fields=["title", "metadata", "updated_at"])
    actor.record("document.changed", locked, old=old, new={"title": locked.title, "metadata": locked.metadata})
    return locked


class _Facts:
    """What was said of an upload, checked."""

    def __init__(self, source: str, media_type: str, title: str, given_title: bool, metadata: dict[str, Any] | None):
        self.source = source
        self.media_type = media_type
        self.title = title
        self.given_title = given_title
        self.metadata = metadata

    @classmethod
    def of(
        cls, name: str, media_type: str, title: str, source: str | None, metadata: Mapping[str, Any] | None
    ) -> "_Facts":
        name = CONTROL.sub("", name).strip()
        shown = name_of(name) if source is None else name
        title = _clean("title", title, 500)
        return cls(
            source=_clean("source", name if source is None else source, 1000),
            media_type=CONTROL.sub("", media_type).partition(";")[0].strip().lower()[:200],
            title=title or shown[:500] or "Untitled",
            given_title=bool(title),
            metadata=None if metadata is None else _metadata(metadata),
        )


@transaction.atomic
def _enter(actor: Actor, library: Library, stored: storage.Stored, facts: _Facts) -> tuple[Document, bool]:
    """The row of a file that lies in the storage. Of two uploads to a library the second waits here for the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_UPLOAD_LOCK, str(library.pk)])
        cursor.execute("SELECT 1 FROM rag_library WHERE id = %s FOR KEY SHARE", [library.pk])
        if cursor.fetchone() is None:
            raise NotFound("The library was deleted meanwhile.", param="library")
    documents = Document.objects.select_for_update(of=("self",), no_key=True).select_related("library")
    same = documents.filter(library=library, sha256=stored.sha256).first()
    if same is not None:
        if same.status == Status.FAILED:
            _queue(same)
            same.save()
        transaction.on_commit(lambda: storage.remove(stored.name), robust=True)
        return same, False
    former = documents.filter(library=library, source=facts.source).order_by("created_at").first()
    if not facts.source:
        former = None
    require_room(actor.workspace_id, stored.size, freed=former.size if former is not None else 0)
    if former is not None:
        return _next_version(actor, former, stored, facts), True
    document = Document(
        workspace_id=actor.workspace_id,
        library=library,
        title=facts.title,
        source=facts.source,
        media_type=facts.media_type,
        metadata=facts.metadata or {},
        sha256=stored.sha256,
        size=stored.size,
        file=stored.name,
        created_by_id=actor.user_id,
        key_id=actor.key_id,
    )
    _queue(document)
    document.save(force_insert=True)
    return document, True


def _next_version(actor: Actor, document: Document, stored: storage.Stored, facts: _Facts) -> Document:
    """Have `document` say what `stored` says, as soon as that is ready. What is asked of models for it asks `actor`."""
    former = document.file
    document.created_by_id, document.key_id = actor.user_id, actor.key_id
    document.version += 1
    document.sha256, document.size, document.file = stored.sha256, stored.size, stored.name
    document.media_type = facts.media_type
    document.chunks_total = document.chunks_done = 0
    if facts.given_title:
        document.title = facts.title
    if facts.metadata is not None:
        document.metadata = facts.metadata
    _queue(document)
    document.save()
    transaction.on_commit(lambda: storage.remove(former), robust=True)
    return document


def _queue(document: Document) -> None:
    """Have a worker take it up, whoever was at it before; unsaved."""
    document.status, document.cancelled = Status.QUEUED, False
    document.error = document.error_code = ""
    document.tries = 0
    _release(document)
    document.next_try_at = timezone.now()
    work_is_there(document.pk)


def _release(document: Document) -> None:
    document.lease_owner, document.leased_until = "", None


def _lock(document: Document) -> Document:
    """Raises `NotFound` when it is gone meanwhile."""
    locked = Document.objects.select_for_update(of=("self",)).select_related("library").filter(pk=document.pk).first()
    if locked is None:
        raise NotFound("There is no such document.")
    return locked


def _metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    return _checked("metadata", lambda: checked_metadata(dict(given)))


def _clean(field: str, text: str, longest: int) -> str:
    text = CONTROL.sub("", text).strip()
    if len(text) > longest:
        raise InvalidRequest(f"{field}: may have at most {longest} characters.", param=field)
    return text


def _checked(field: str, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return check()
    except ValueError as error:
        raise InvalidRequest(f"{field}: {error}", param=field) from None


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()[:80]
