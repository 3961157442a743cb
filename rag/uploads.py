"""An upload as both APIs take it: files of a form, or a text or a URL as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.core.files.uploadedfile import UploadedFile

from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.schemas import parse
from rag import services
from rag.models import Library
from rag.schemas import TextIn, UrlIn, show_document
from rag.services import Actor, Bulk
from rag.services.archives import is_archive

FORM_FIELDS = ("file", "title", "source", "metadata")
JSON_FIELDS = ("text", "url", "title", "source", "metadata")


@dataclass(frozen=True)
class Taken:
    """What came of an upload: one document, or several. `status` is what HTTP says of it."""

    status: int
    body: dict[str, Any]


def take_json(actor: Actor, library: Library, data: Mapping[str, Any], *, read: Sequence[str] = ()) -> Taken:
    """A text, or what a URL leads to. `read`: fields that the caller has dealt with. Raises `InvalidRequest`."""
    _check_names(data, [*JSON_FIELDS, *read])
    data = {name: value for name, value in data.items() if name not in read}
    if data.get("url") is None and data.get("text") is None:
        raise InvalidRequest("text: is required, or a url.", param="text")
    if data.get("url") is not None:
        if data.get("text") is not None:
            raise InvalidRequest("url: send a text or a URL, not both.", param="url")
        asked = parse(UrlIn, {name: value for name, value in data.items() if name != "text"})
        return _one(
            *services.upload_url(actor, library, url=asked.url, title=asked.title, metadata=asked.metadata or None)
        )
    given = parse(TextIn, {name: value for name, value in data.items() if name != "url"})
    return _one(
        *services.upload_text(
            actor,
            library,
            text=given.text,
            title=given.title,
            source=given.source,
            metadata=given.metadata or None,
        )
    )


def take_form(
    actor: Actor,
    library: Library,
    fields: Mapping[str, str],
    files: "Sequence[UploadedFile[bytes]]",
    *,
    read: Sequence[str] = (),
) -> Taken:
    """The files of a form; `read`: fields that the caller has dealt with. Raises `InvalidRequest`.

    One file that is no ZIP is answered as the document that it is.
    """
    _check_names(fields, [*FORM_FIELDS, *read])
    if not files:
        raise InvalidRequest("file: send a file, or JSON with a text or a url.", param="file")
    metadata = _metadata(fields.get("metadata", ""))
    if len(files) == 1 and not is_archive(files[0].name or "", files[0].content_type or ""):
        return _one(*_upload(actor, library, files[0], fields, metadata))
    for name in ("title", "source"):
        if fields.get(name):
            raise InvalidRequest(f"{name}: is for one file; these are several.", param=name)
    return _several(_bulk(actor, library, files, metadata))


def _check_names(given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidRequest(f"{name[:100]}: unknown; the fields are {', '.join(known)}.", param=name[:100])


def _upload(
    actor: Actor,
    library: Library,
    file: "UploadedFile[bytes]",
    fields: Mapping[str, str],
    metadata: dict[str, Any] | None,
) -> tuple[Any, bool]:
    return services.upload(
        actor,
        library,
        name=file.name or "file",
        content=file.file,  # type: ignore[arg-type]
        media_type=file.content_type or "",
        title=fields.get("title", ""),
        source=fields.get("source") or None,
        metadata=metadata,
    )


def _bulk(
    actor: Actor, library: Library, files: "Sequence[UploadedFile[bytes]]", metadata: dict[str, Any] | None
) -> Bulk:
    bulk = Bulk()
    for file in files:
        name = file.name or "file"
        try:
            if is_archive(name, file.content_type or ""):
                bulk.extend(
                    services.upload_archive(
                        actor,
                        library,
                        name=name,
                        content=file.file,  # type: ignore[arg-type]
                        metadata=metadata,
                    )
                )
            else:
                bulk.add(*_upload(actor, library, file, {}, metadata))
        except InvalidRequest as error:
            if len(files) == 1:
                raise
            bulk.refused.append((name, error.message))
    return bulk


def _metadata(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidRequest("metadata: must be a JSON object.", param="metadata") from None
    if type(given) is not dict:
        raise InvalidRequest("metadata: must be a JSON object.", param="metadata")
    return given


def _one(document: Any, created: bool) -> Taken:
    return Taken(202 if created else 200, show_document(document))


def _several(bulk: Bulk) -> Taken:
    """With the first document's own fields beside the list, for a client that expects one."""
    first = show_document(bulk.documents[0]) if bulk.documents else {}
    body = {
        **first,
        "data": [show_document(document) for document in bulk.documents],
        "created": bulk.created,
        "refused": [{"name": name[:1000], "error": told} for name, told in bulk.refused],
    }
    return Taken(202 if bulk.created else 200, body)
