"""A document that is fetched from a URL."""

from collections.abc import Mapping
from typing import Any

from gateway_project.lib.errors import InvalidRequest
from rag.models import Document, Library
from rag.naming import name_of
from rag.services.actor import Actor
from rag.services.documents import upload


def upload_url(
    actor: Actor,
    library: Library,
    *,
    url: str,
    title: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Document, bool]:
    """As `documents.upload`, of what `url` leads to, which is fetched here. The URL is its source.

    Raises `InvalidRequest` naming `url` for one that may not be used or does not answer, `RequestTooLarge`.
    """
    from rag.ingest.fetch import FetchError, fetched  # an HTTP client of 3 MB, which most processes never need

    url = url.strip()
    try:
        with fetched(url) as answer:
            return upload(
                actor,
                library,
                name=name_of(url),
                content=answer.blocks,
                media_type=answer.media_type,
                title=title,
                source=url,
                metadata=metadata,
            )
    except FetchError as error:
        raise InvalidRequest(f"url: {error}", param="url") from None
