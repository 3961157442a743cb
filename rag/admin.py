"""Django's admin for libraries and documents: staff look, and change nothing here. Texts are not shown."""

from django.contrib import admin

from gateway_project.lib.admin import LargeTableAdmin, ReadOnlyMixin
from rag.models import Document, Library, Reembedding


@admin.register(Library)
class LibraryAdmin(ReadOnlyMixin, LargeTableAdmin):
    list_display = ("name", "workspace", "model", "privacy_mode", "created_at")
    list_select_related = ("workspace",)


@admin.register(Document)
class DocumentAdmin(ReadOnlyMixin, LargeTableAdmin):
    list_display = ("title", "workspace", "library", "status", "error_code", "size", "chunks", "created_at")
    list_select_related = ("workspace", "library")
    list_filter = ("status",)
    fields = readonly_fields = (
        "id", "workspace", "library", "title", "source", "media_type", "language", "size", "pages", "version",
        "live_version", "chunks", "chunks_total", "chunks_done", "status", "error_code", "error", "notes", "tries",
        "leased_until", "next_try_at", "created_by", "key_id", "created_at", "updated_at",
    )  # fmt: skip


@admin.register(Reembedding)
class ReembeddingAdmin(ReadOnlyMixin, LargeTableAdmin):
    list_display = ("library", "model", "state", "done", "total", "created_at", "finished_at")
    list_select_related = ("library",)
