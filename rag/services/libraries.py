"""What can be done to a library. Callers have checked the role; the library is of the actor's workspace."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound
from gateway_project.lib.schemas import parse
from rag import storage
from rag.chunk import DEFAULTS
from rag.models import DEFAULT_LIBRARY, Document, Library, Reembedding
from rag.schemas import LibraryChange, NewLibrary
from rag.services.actor import Actor
from rag.services.gone import tell
from rag.services.models import check_model

MOST_LIBRARIES = 10_000
# Columns that hold "" where the API says null.
BLANK = frozenset({"model", "language", "privacy_mode"})


def default_library(workspace_id: UUID) -> Library:
    """The library that every workspace has. It is made here where a workspace has none yet."""
    library, _ = Library.objects.get_or_create(workspace_id=workspace_id, name=DEFAULT_LIBRARY)
    return library


def named_library(workspace_id: UUID, name: str = "") -> Library:
    """The workspace's library `name`; the default one without a name. Raises `NotFound` naming `library`."""
    if not name or name == DEFAULT_LIBRARY:
        return default_library(workspace_id)
    library = Library.objects.filter(workspace_id=workspace_id, name=name).first()
    if library is None:
        raise NotFound(f"There is no library '{name[:120]}'.", param="library")
    return library


def create_library(actor: Actor, data: NewLibrary | Mapping[str, Any]) -> Library:
    """A new library. Raises `InvalidRequest`, and `Conflict` when its name is taken. Asks the embedding worker."""
    fields = parse(NewLibrary, data)
    check_model(fields.model or "")
    return _create(actor, fields)


@transaction.atomic
def _create(actor: Actor, fields: NewLibrary) -> Library:
    if Library.objects.filter(workspace_id=actor.workspace_id).count() >= MOST_LIBRARIES:
        raise Conflict(f"A workspace may have {MOST_LIBRARIES} libraries.")
    library = Library(workspace_id=actor.workspace_id, created_by_id=actor.caller.user.pk if actor.caller else None)
    _set(library, fields)
    _save(library, force_insert=True)
    actor.record("library.created", library, new=_facts(library))
    return library


def change_library(actor: Actor, library: Library, data: LibraryChange | Mapping[str, Any]) -> Library:
    """Set the fields that `data` has. Raises `InvalidRequest`, and `Conflict` for what cannot be changed any more.

    Asks the embedding worker where the model is another one.
    """
    fields = parse(LibraryChange, data)
    if library.space_id is None and (fields.model or library.model) != library.model:
        check_model(fields.model or "")
    return _change(actor, library, fields)


@transaction.atomic
def _change(actor: Actor, library: Library, fields: LibraryChange) -> Library:
    locked = _lock(library)
    old = _facts(locked)
    if locked.name == DEFAULT_LIBRARY and fields.name not in ("", DEFAULT_LIBRARY):
        raise Conflict("The default library keeps its name: it is the one that a request means that names none.")
    if "model" in fields.model_fields_set and (fields.model or "") != locked.model and locked.space_id is not None:
        raise Conflict(f"This library is embedded; POST /api/libraries/{locked.pk}/reembed moves it to another model.")
    changed = _set(locked, fields)
    if changed:
        _save(locked, update_fields=[*changed, "updated_at"])
        actor.record("library.changed", locked, old=old, new=_facts(locked))
    if locked.privacy_mode != old["privacy_mode"]:
        tell(locked.workspace_id, [locked.pk])
    return locked


@transaction.atomic
def delete_library(actor: Actor, library: Library) -> None:
    """Delete a library with its documents, their text, vectors and files. Raises `Conflict` for the default one."""
    locked = _lock(library)
    if locked.name == DEFAULT_LIBRARY:
        raise Conflict("The default library stays; delete its documents instead.")
    documents = Document.objects.filter(library=locked).count()
    actor.record("library.deleted", locked, old={**_facts(locked), "documents": documents})
    Reembedding.objects.filter(library=locked).delete()
    # The database deletes what belongs to it; Django would read all of it first.
    Library.objects.filter(pk=locked.pk)._raw_delete(using="default")
    tell(locked.workspace_id, [locked.pk])
    transaction.on_commit(lambda: storage.remove_library(locked.workspace_id, locked.pk), robust=True)


def _lock(library: Library) -> Library:
    locked = Library.objects.select_for_update(of=("self",)).select_related("space").filter(pk=library.pk).first()
    if locked is None:
        raise NotFound("There is no such library.")
    return locked


def _set(library: Library, fields: LibraryChange) -> set[str]:
    """Set what `fields` has on `library`, unsaved; the columns that differ. Raises `InvalidRequest`."""
    changed = set()
    for name in fields.model_fields_set:
        value = getattr(fields, name)
        if value is None and name in BLANK:
            value = ""
        if getattr(library, name) != value:
            setattr(library, name, value)
            changed.add(name)
    most = (library.chunk_tokens or DEFAULTS[0]) // 2
    if library.overlap is not None and library.overlap > most:
        raise InvalidRequest(f"overlap: must be at most half of a chunk: {most} tokens.", param="overlap")
    return changed


def _save(library: Library, **options: Any) -> None:
    try:
        with transaction.atomic():
            library.save(**options)
    except IntegrityError:
        raise Conflict(f"There is a library '{library.name}' already.", param="name") from None


def _facts(library: Library) -> dict[str, Any]:
    """What the audit trail keeps of a library."""
    names = ("name", "model", "chunk_tokens", "overlap", "contextual_header", "language", "privacy_mode", "ocr")
    return {name: getattr(library, name) for name in names}
