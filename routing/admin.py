"""Django's admin for policies and models' settings. What a policy says is changed by its API, which makes versions."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin_audit import AuditedMixin
from gateway_project.lib.admin import AnyModelAdmin, AnyTabularInline, EstimatingPaginator, ReadOnlyMixin
from keys.queries import keys_naming_policy
from routing.models import ModelSettings, Policy, PolicyVersion
from routing.services.policies import NAMED_KEYS


class PolicyVersionInline(ReadOnlyMixin, AnyTabularInline):
    model = PolicyVersion
    extra = 0
    fields = readonly_fields = ("version", "note", "created_at", "created_by", "document")
    ordering = ("-version",)


@admin.register(Policy)
class PolicyAdmin(AuditedMixin, AnyModelAdmin):
    audit_kind = "policy"
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("name", "workspace", "version", "is_default", "created_at", "created_by")
    list_select_related = ("workspace", "created_by")
    list_filter = ("is_default",)
    search_fields = ("name", "workspace__name")
    fields = ("id", "workspace", "name", "version", "is_default", "created_at", "created_by")
    inlines = (PolicyVersionInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """As in the API, a policy that gateway keys name stays."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        keys = [
            name for policy in objs for name in keys_naming_policy(policy.workspace_id, policy.name, limit=NAMED_KEYS)
        ]
        return found, counts, lacking, [*protected, *(f"Gateway key: {name}" for name in keys)]


@admin.register(ModelSettings)
class ModelSettingsAdmin(AuditedMixin, AnyModelAdmin):
    audit_kind = "model"
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("model", "provider", "workspace", "enabled", "quality", "updated_at")
    list_select_related = ("provider", "workspace")
    list_filter = ("enabled",)
    search_fields = ("model", "provider__name", "workspace__name")
    fields = (
        "id", "workspace", "provider", "model", "input_usd_per_mtok", "cached_input_usd_per_mtok",
        "output_usd_per_mtok", "quality", "context_window", "enabled", "updated_at",
    )  # fmt: skip
    readonly_fields = tuple(field for field in fields if field != "enabled")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
