"""Django's admin for users, workspaces and memberships."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm

from accounts.models import Membership, User, Workspace
from gateway_project.lib.admin import AnyModelAdmin, AnyTabularInline, EstimatingPaginator

if TYPE_CHECKING:
    AnyUserAdmin = BaseUserAdmin[User]
    AnyCreationForm = AdminUserCreationForm[User]
else:
    AnyUserAdmin, AnyCreationForm = BaseUserAdmin, AdminUserCreationForm

admin.site.site_header = "LLM Gateway administration"
admin.site.site_title = "LLM Gateway"
admin.site.index_title = "Installation"


class UserCreationForm(AnyCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")


@admin.register(User)
class UserAdmin(AnyUserAdmin):
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


class MembershipInline(AnyTabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Workspace)
class WorkspaceAdmin(AnyModelAdmin):
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("name", "id", "created_at")
    search_fields = ("name",)
    readonly_fields = ("id", "created_at")
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(AnyModelAdmin):
    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_display = ("user", "workspace", "role", "created_at")
    list_select_related = ("user", "workspace")
    list_filter = ("role",)
    search_fields = ("user__email", "workspace__name")
    autocomplete_fields = ("user", "workspace")
