"""The libraries that a search is about, and the spaces that their entries are in."""

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from gateway_project.lib.errors import NotFound
from rag.models import Document, Library, PrivacyMode, Reembedding, Space
from rag.queries import WAITING


@dataclass(frozen=True)
class Shelf:
    """Libraries of one workspace: the spaces of those that hold anything, their ids by space, and their names.

    `whole`: its spaces hold nothing but what is in these libraries.
    """

    spaces: list[Space]
    libraries: dict[int, list[UUID]]
    names: dict[UUID, str]
    whole: bool
    strict: bool


def shelf_of(workspace_id: UUID, wanted: Sequence[str | UUID]) -> Shelf:
    """The workspace's libraries of these names or ids; all when there are none. Two queries, without objects:
    a workspace may have a thousand libraries.

    Raises NotFound for one that the workspace does not have.
    """
    libraries = Library.objects.filter(workspace_id=workspace_id)
    rows = list(_wanted(libraries, wanted).order_by("pk").values_list("pk", "name", "space_id", "privacy_mode", _MOVED))
    _require(wanted, {each for pk, name, *_ in rows for each in (name, str(pk))})
    by_space: dict[int, list[UUID]] = defaultdict(list)
    for pk, _, space, _, _ in rows:
        if space is not None:
            by_space[space].append(pk)
    spaces = list(Space.objects.filter(workspace_id=workspace_id, pk__in=by_space).order_by("pk"))
    # A library that changed its model may have entries in a space where it is not searched.
    whole = not wanted and not any(moved for *_, moved in rows)
    return Shelf(
        spaces=spaces,
        libraries=dict(by_space),
        names={pk: name for pk, name, *_ in rows},
        whole=whole,
        strict=any(privacy == PrivacyMode.STRICT for _, _, _, privacy, _ in rows),
    )


def spaces_of(workspace_id: UUID, wanted: Sequence[str | UUID]) -> list[Space]:
    """The spaces of the shelf that `shelf_of` would make, in one query; of libraries that are there."""
    libraries = _wanted(Library.objects.filter(workspace_id=workspace_id), wanted)
    ids = libraries.exclude(space=None).values("space_id")
    return list(Space.objects.filter(workspace_id=workspace_id, pk__in=ids).order_by("pk"))


def on_the_way(workspace_id: UUID, wanted: Sequence[str | UUID]) -> int:
    """How many documents of these libraries cannot be found yet: they are new, and still read or embedded."""
    libraries = _wanted(Library.objects.filter(workspace_id=workspace_id), wanted)
    new = Document.objects.filter(workspace_id=workspace_id, status__in=WAITING, live_version=0)
    return new.filter(library__in=libraries).count()


_MOVED = Exists(Reembedding.objects.filter(library=OuterRef("pk")))


def _wanted(libraries: QuerySet[Library], wanted: Sequence[str | UUID]) -> QuerySet[Library]:
    if not wanted:
        return libraries
    ids = [each for each in map(_id, wanted) if each is not None]
    return libraries.filter(Q(name__in=[_name(each) for each in wanted]) | Q(pk__in=ids))


def _require(wanted: Sequence[str | UUID], found: Container[str]) -> None:
    for each in wanted:
        id = _id(each)
        if _name(each) not in found and (id is None or str(id) not in found):
            raise NotFound(f"There is no library '{_name(each)[:120]}'.", param="library")


def _name(given: str | UUID) -> str:
    # A name holds none of these, and Postgres takes none.
    return str(given).strip().replace("\0", "\ufffd").encode(errors="replace").decode()


def _id(given: str | UUID) -> UUID | None:
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except ValueError:
        return None
