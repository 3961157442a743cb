"""A document's file as an answer."""

from django.http import FileResponse, HttpResponse

from gateway_project.lib.errors import NotFound
from rag import storage
from rag.models import Document


def as_file(document: Document) -> HttpResponse:
    """The file as it was uploaded, to be saved and never shown: what is in it is nobody's word.

    Raises `NotFound` when it is gone.
    """
    try:
        content = storage.documents().open(document.file)
    except FileNotFoundError:
        raise NotFound("The file is gone.") from None
    name = document.source.rstrip("/").rpartition("/")[2] or f"{document.title}.txt"
    response = FileResponse(content, as_attachment=True, filename=name, content_type="application/octet-stream")
    response.headers["content-security-policy"] = "sandbox"
    return response  # type: ignore[return-value]
