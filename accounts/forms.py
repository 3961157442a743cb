"""The forms of the pages for signing up, logging in, the account and the team."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from accounts import limits
from accounts.models import BudgetPeriod, Limited, Role
from accounts.services import MAX_PASSWORD
from gateway_project.lib.forms import ConsoleForm

# What a person may be made by somebody who is no owner; only an owner makes owners.
ROLE_LABELS = {
    Role.VIEWER: "Viewer: reads everything but secrets, prompts and the audit trail",
    Role.MEMBER: "Member: also reads kept prompts, creates and changes gateway keys",
    Role.ADMIN: "Admin: also manages providers, routing, members, limits and webhooks, and reads the audit trail",
    Role.OWNER: "Owner: also renames the workspace, has it keep prompts, and makes owners",
}


PERIOD_CHOICES = [
    (BudgetPeriod.MONTH, "a month"),
    (BudgetPeriod.WEEK, "a week"),
    (BudgetPeriod.DAY, "a day"),
    (BudgetPeriod.TOTAL, "in total"),
]


def _whole(label: str, most: int) -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"inputmode": "numeric"})
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=most, widget=widget)


class LimitsForm(ConsoleForm):
    """The limits and the budget of a gateway key, a member or a workspace. An empty field is no limit."""

    budget_usd = forms.DecimalField(
        label="Budget, in USD",
        required=False,
        min_value=0,
        max_digits=24,
        decimal_places=12,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )
    budget_period = forms.ChoiceField(label="For", required=False, choices=PERIOD_CHOICES, initial=BudgetPeriod.MONTH)
    rate_limit_requests = _whole("Requests", limits.MAX_REQUESTS)
    rate_limit_tokens = _whole("Tokens", limits.MAX_TOKENS)
    rate_limit_window = _whole("Within, in seconds", limits.MAX_WINDOW)
    rate_limit_streams = _whole("Streams at once", limits.MAX_STREAMS)

    def __init__(self, *args: Any, limited: Limited | None = None, **kwargs: Any) -> None:
        if limited is not None:
            now = limits.show_limits(limited)
            now["budget_period"] = now["budget_period"] or BudgetPeriod.MONTH
            kwargs["initial"] = {**now, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        self.fields["rate_limit_window"].widget.attrs["placeholder"] = settings.RATE_LIMIT_WINDOW

    def clean(self) -> None:
        """A window that is left behind goes with its limits; a new one without any was meant to do something."""
        super().clean()
        limited = [self.cleaned_data.get(name) for name in ("rate_limit_requests", "rate_limit_tokens")]
        window = self.cleaned_data.get("rate_limit_window")
        asked = window is not None and "rate_limit_window" in self.changed_data
        if asked and limited == [None, None] and not self.errors:
            self.add_error("rate_limit_window", "Limits nothing by itself: set a number of requests or tokens, too.")

    @property
    def limits_open(self) -> bool:
        """Whether the fold must be open: it holds an error or a limit."""
        return any(self[name].errors or (name != "budget_period" and self[name].value()) for name in limits.NAMES)

    def limits_for_service(self) -> dict[str, Any]:
        """The limits under the API's names; what limits nothing is left out of those that are set."""
        fields = {name: self.cleaned_data[name] for name in limits.NAMES}
        if fields["budget_usd"] is None:
            fields["budget_period"] = None
        if fields["rate_limit_requests"] is None and fields["rate_limit_tokens"] is None:
            fields["rate_limit_window"] = None
        return fields


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


class ContentForm(ConsoleForm):
    """Whether a workspace keeps what it is asked and answers, and for how long."""

    store_content = forms.BooleanField(required=False, label="Keep prompts and answers, encrypted")
    content_retention_days = forms.IntegerField(
        label="Days after which they are deleted",
        min_value=1,
        max_value=3650,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )


class MemberForm(ConsoleForm):
    """Somebody who has an account here, to join the workspace."""

    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    # Not a select: what each role may do would be cut off.
    role = forms.ChoiceField(initial=Role.MEMBER, widget=forms.RadioSelect)

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, ROLE_LABELS[role]) for role in roles]  # type: ignore[attr-defined]
