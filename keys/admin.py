"""Django's admin for gateway keys and providers. Secrets are neither shown nor editable here."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin_audit import AuditedMixin
from gateway_project.lib.admin import (
    AnyModelAdmin,
    AnyTabularInline,
    EstimatingPaginator,
    LargeTableAdmin,
    ReadOnlyMixin,
)
from keys.models import GatewayKey, KeySecret, Provider


class KeySecretInline(ReadOnlyMixin, AnyTabularInline):
    model = KeySecret
    extra = 0
    fields = readonly_fields = ("prefix", "last4", "created_at", "expires_at")
    ordering = ("-id",)


@admin.register(GatewayKey)
class GatewayKeyAdmin(AuditedMixin, LargeTableAdmin):
    audit_kind = "key"
    list_display = ("name", "workspace", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("workspace",)
    fields = (
        "id", "workspace", "name", "created_by", "created_at", "expires_at", "revoked_at", "last_used_at", "spent_usd",
        "allowed_models", "policy", "privacy_mode", "scopes",
    )  # fmt: skip
    # What a key may do is its workspace's affair; staff can end it.
    readonly_fields = tuple(field for field in fields if field not in ("name", "expires_at", "revoked_at"))
    inlines = (KeySecretInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Provider)
class ProviderAdmin(AuditedMixin, AnyModelAdmin):
    audit_kind = "provider"
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("name", "workspace", "kind", "locality", "enabled", "from_environment", "created_at")
    list_select_related = ("workspace",)
    list_filter = ("kind", "locality", "enabled", "from_environment")
    search_fields = ("name", "workspace__name")
    fields = (
        "id", "workspace", "name", "kind", "base_url", "secret_hint", "locality", "enabled", "from_environment",
        "created_by", "created_at", "model_ids", "discovered_models", "discovered_at",
        "loaded_models", "last_error",
    )  # fmt: skip
    readonly_fields = tuple(field for field in fields if field != "enabled")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
