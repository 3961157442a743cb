"""Django's admin for users, workspaces and memberships."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import ValidationError
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables

from accounts import services
from accounts.models import Membership, User, Workspace
from gateway_project.lib.admin import AnyModelAdmin, AnyTabularInline, EstimatingPaginator
from gateway_project.lib.errors import ApiError
from gateway_project.lib.http import client_address

if TYPE_CHECKING:
    AnyUserAdmin = BaseUserAdmin[User]
    AnyCreationForm = AdminUserCreationForm[User]
else:
    AnyUserAdmin, AnyCreationForm = BaseUserAdmin, AdminUserCreationForm

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
