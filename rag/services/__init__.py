"""Writes: everything that makes, changes or ends a library, a document, or what is being made of them."""

from rag.services.actor import Actor
from rag.services.archives import Bulk, upload_archive
from rag.services.documents import cancel, change_document, delete_document, retry, upload, upload_text
from rag.services.gone import on_documents_gone
from rag.services.libraries import change_library, create_library, default_library, delete_library, named_library
from rag.services.rechunking import rechunk
from rag.services.reembedding import cancel_reembedding, reembed, rollback_reembedding
from rag.services.urls import upload_url

__all__ = [
    "Actor",
    "Bulk",
    "cancel",
    "cancel_reembedding",
    "change_document",
    "change_library",
    "create_library",
    "default_library",
    "delete_document",
    "delete_library",
    "named_library",
    "on_documents_gone",
    "rechunk",
    "reembed",
    "retry",
    "rollback_reembedding",
    "upload",
    "upload_archive",
    "upload_text",
    "upload_url",
]
