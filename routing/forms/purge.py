"""Which answers of the cache to purge."""

from typing import Any

from django import forms

from gateway_project.lib import format as text
from gateway_project.lib.forms import ConsoleForm
from routing.forms.fields import PLAIN
from routing.policies import BUILT_IN

# How the form calls the policy that is built in, which has no id.
BUILT_IN_CHOICE = "built-in"


class PurgeForm(ConsoleForm):
    """Which answers of the cache to purge: those to which all that is chosen applies."""

    policy = forms.ChoiceField(required=False)
    key = forms.ChoiceField(label="Gateway key", required=False, help_text="Whose requests the answers were made for.")
    model = forms.CharField(
        required=False,
        max_length=420,
        help_text="<code>model</code> or <code>provider/model</code>. Empty: every model.",
        widget=forms.TextInput(attrs=PLAIN),
    )

    def __init__(self, *args: Any, policies: list[tuple[str, str]], keys: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["policy"].choices = [("", "Every policy"), *policies, (BUILT_IN_CHOICE, text.policy(BUILT_IN))]  # type: ignore[attr-defined]
        self.fields["key"].choices = [("", "Every key"), *keys]  # type: ignore[attr-defined]
