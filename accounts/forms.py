"""The forms of the pages for signing up, logging in, the account and the team."""

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from accounts.models import Role
from accounts.services import MAX_PASSWORD
from gateway_project.lib.forms import ConsoleForm

# What a person may be made by somebody who is no owner; only an owner makes owners.
ROLE_LABELS = {
    Role.VIEWER: "Viewer: reads everything but secrets",
    Role.MEMBER: "Member: also creates and changes gateway keys",
    Role.ADMIN: "Admin: also manages providers and members",
    Role.OWNER: "Owner: also renames the workspace and makes owners",
}


class LoginForm(ConsoleForm):
    email = forms.EmailField(
        label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))


class SignUpForm(ConsoleForm):
    email = forms.EmailField(
        label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    name = forms.CharField(max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 8 characters, not a common password, not only digits.",
    )

    @sensitive_variables()
    def clean(self) -> None:
        """The password's errors beside those of the other fields; what passes here the service checks again."""
        password = self.cleaned_data.get("password", "")
        if not self.errors or not password:  # the service tells the rest, one at a time
            return
        try:
            validate_password(password[:MAX_PASSWORD])
        except ValidationError as error:
            self.add_error("password", error)


class ProfileForm(ConsoleForm):
    name = forms.CharField(max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"}))


class PasswordForm(ConsoleForm):
    current = forms.CharField(
        label="Current password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    new = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 8 characters, not a common password, not only digits.",
    )


class WorkspaceForm(ConsoleForm):
    name = forms.CharField(
        label="Workspace name", max_length=120, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )


class MemberForm(ConsoleForm):
    """Somebody who has an account here, to join the workspace."""

    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    # Not a select: what each role may do would be cut off.
    role = forms.ChoiceField(initial=Role.MEMBER, widget=forms.RadioSelect)

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, ROLE_LABELS[role]) for role in roles]  # type: ignore[attr-defined]
