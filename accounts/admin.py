"""Django's admin for users, workspaces and memberships."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables

from accounts import audit, services
from accounts.admin_audit import AuditedMixin, record_formset
from accounts.models import AuditEntry, Event, Membership, Role, User, Workspace
from accounts.workspaces import without_owner
from gateway_project.lib.admin import (
    AnyModelAdmin,
    AnyTabularInline,
    EstimatingPaginator,
    LargeTableAdmin,
    ReadOnlyMixin,
)
from gateway_project.lib.errors import ApiError
from gateway_project.lib.http import client_address

if TYPE_CHECKING:
    AnyUserAdmin = BaseUserAdmin[User]
    AnyCreationForm = AdminUserCreationForm[User]
    AnyModelForm = ModelForm[Membership]
    AnyInlineFormSet = BaseInlineFormSet[Membership, Workspace, Any]
else:
    AnyUserAdmin, AnyCreationForm = BaseUserAdmin, AdminUserCreationForm
    AnyModelForm, AnyInlineFormSet = ModelForm, BaseInlineFormSet

admin.site.site_header = "LLM Gateway administration"
admin.site.site_title = "LLM Gateway"
admin.site.index_title = "Installation"


class AdminLogin(AdminAuthenticationForm):
    """The admin's own login page, behind the same limits as every other: it leads to the most powerful accounts."""

    @method_decorator(sensitive_variables())
    def clean(self) -> dict[str, Any]:
        email, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if email and password:
            address = client_address(self.request) if self.request else ""
            try:
                self.user_cache = services.log_in(email, password, address=address)
            except ApiError as error:
                raise ValidationError(error.message) from None
            self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data


admin.site.login_form = AdminLogin


class KeepsOwnersMixin:
    """Refuses to delete what a workspace needs to have an owner; `lost_with` says which memberships go, too."""

    lost_with = "pk__in"

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> tuple[Any, Any, Any, list[str]]:
        found, counts, forbidden, protected = super().get_deleted_objects(objs, request)  # type: ignore[misc]
        left = without_owner(Q(**{self.lost_with: [row.pk for row in objs]}))
        protected += [f"“{workspace}” has no other owner: make somebody else one first." for workspace in left]
        return found, counts, forbidden, protected


class UserCreationForm(AnyCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")


@admin.register(User)
class UserAdmin(AuditedMixin, KeepsOwnersMixin, AnyUserAdmin):
    audit_kind = "user"
    lost_with = "user__in"
    add_form = UserCreationForm
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("email",)
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """The page for a new password saves it without `save_model`."""
        if "password" in str(message).lower():
            audit.record(None, "user.password_changed", obj)
        return super().log_change(request, obj, message)


class MembersFormSet(AnyInlineFormSet):
    """A workspace's members, one of whom is an owner."""

    def clean(self) -> None:
        super().clean()
        members = [form.cleaned_data for form in self.forms if form.is_valid()]
        changed = self.has_changed() or self.instance._state.adding
        if changed and not any(self.errors) and not any(map(_is_owner, members)):
            raise ValidationError("A workspace keeps at least one owner.")


def _is_owner(member: dict[str, Any]) -> bool:
    return member.get("role") == Role.OWNER and not member.get("DELETE")


class MembershipInline(AnyTabularInline):
    model = Membership
    formset = MembersFormSet
    extra = 0
    fields = ("user", "role")
    autocomplete_fields = ("user",)


@admin.register(Workspace)
class WorkspaceAdmin(AuditedMixin, AnyModelAdmin):
    audit_kind = "workspace"
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("name", "id", "created_at")
    search_fields = ("name",)
    # What it may spend, and whether it keeps prompts, is its own people's affair.
    fields = ("id", "name", "created_at")
    readonly_fields = ("id", "created_at")
    inlines = (MembershipInline,)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        record_formset(formset, "member", form.instance)


class MembershipForm(AnyModelForm):
    def clean(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().clean() or {}
        stays = fields.get("role") == Role.OWNER and fields.get("workspace") == getattr(
            self.instance, "workspace", None
        )
        if not self.instance._state.adding and not stays and without_owner(Q(pk=self.instance.pk)).exists():
            raise ValidationError("The workspace keeps at least one owner; make somebody else one first.")
        return fields


@admin.register(Membership)
class MembershipAdmin(AuditedMixin, KeepsOwnersMixin, AnyModelAdmin):
    audit_kind = "member"
    form = MembershipForm
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("user", "workspace", "role", "created_at")
    list_select_related = ("user", "workspace")
    list_filter = ("role",)
    search_fields = ("user__email", "workspace__name")
    fields = ("user", "workspace", "role", "created_at")
    readonly_fields = ("created_at",)
    autocomplete_fields = ("user", "workspace")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyMixin, LargeTableAdmin):
    """Every workspace's trail, and that of accounts, which stands nowhere else."""

    list_display = ("created_at", "actor", "action", "object_name", "via", "address")
    fields = readonly_fields = (
        "id", "created_at", "workspace_id", "actor", "actor_id", "via", "address", "user_agent", "request_id", "action",
        "object_id", "object_name", "old", "new",
    )  # fmt: skip


@admin.register(Event)
class EventAdmin(ReadOnlyMixin, LargeTableAdmin):
    list_display = ("created_at", "workspace", "kind")
    list_select_related = ("workspace",)
    fields = readonly_fields = ("id", "created_at", "workspace", "kind", "once_key", "data")
