"""Django's admin for the ledger: read-only, newest first, found by id."""

from django.contrib import admin

from analytics.models import UsageRecord
from gateway_project.lib.admin import LargeTableAdmin, ReadOnlyMixin


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyMixin, LargeTableAdmin):
    list_display = ("id", "created_at", "workspace", "status", "provider", "model", "cost_usd", "latency_ms")
    list_select_related = ("workspace",)
    list_display_links = ("id",)
