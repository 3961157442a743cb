"""The form of a webhook's page."""

from typing import Any

from django import forms

from accounts.events import KINDS
from gateway_project.lib.forms import ConsoleForm
from keys.models import Webhook


class WebhookForm(ConsoleForm):
    """A webhook, new or changed."""

    url = forms.CharField(
        label="Address",
        max_length=1000,
        help_text="Where the events are posted to, with <code>https://</code>.",
        widget=forms.TextInput(
            attrs={
                "inputmode": "url",
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "https://example.com/hooks/gateway",
            }
        ),
    )
    kinds = forms.MultipleChoiceField(
        label="Send when",
        required=False,
        choices=list(KINDS.items()),
        widget=forms.CheckboxSelectMultiple,
        help_text="None checked: every event, also of kinds to come.",
    )

    def __init__(self, *args: Any, webhook: Webhook | None = None, **kwargs: Any) -> None:
        if webhook is not None:
            kwargs.setdefault("initial", {"url": webhook.url, "kinds": webhook.kinds})
        super().__init__(*args, **kwargs)

    def fields_for_service(self) -> dict[str, Any]:
        """The cleaned fields under the API's names."""
        return {"url": self.cleaned_data["url"], "kinds": self.cleaned_data["kinds"]}
