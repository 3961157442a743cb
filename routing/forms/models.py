"""What a workspace knows of a model."""

from collections.abc import Mapping
from typing import Any

from django import forms

from gateway_project.lib.forms import ConsoleForm
from routing.forms.fields import number


class ModelForm(ConsoleForm):
    """What a workspace knows better about a model; an empty field leaves it to the catalog."""

    input_usd_per_mtok = forms.DecimalField(required=False, min_value=0, max_digits=20, decimal_places=12)
    cached_input_usd_per_mtok = forms.DecimalField(required=False, min_value=0, max_digits=20, decimal_places=12)
    output_usd_per_mtok = forms.DecimalField(required=False, min_value=0, max_digits=20, decimal_places=12)
    quality = number("Quality, 0 to 1", largest=1, hint="How good its answers are; 1 is the best there is.")
    context_window = forms.IntegerField(
        required=False, min_value=1, max_value=100_000_000, label="Context window, in tokens"
    )
    enabled = forms.BooleanField(required=False, label="Requests may be routed to it")

    LABELS = {
        "input_usd_per_mtok": "Input, USD per million tokens",
        "cached_input_usd_per_mtok": "Cached input, USD per million tokens",
        "output_usd_per_mtok": "Output, USD per million tokens",
    }

    def __init__(self, *args: Any, known: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = self.LABELS.get(name, field.label)
            if name != "enabled" and known.get(name) is not None:
                field.widget.attrs["placeholder"] = str(known[name])
            if isinstance(field, forms.DecimalField):
                field.widget.attrs |= {"step": "any", "inputmode": "decimal"}

    def fields_for_service(self) -> dict[str, Any]:
        """What a service takes: null where the catalog's word holds."""
        said = self.cleaned_data
        prices = {name: None if said[name] is None else f"{said[name]:f}" for name in self.LABELS}
        return {
            **prices,
            "quality": said["quality"],
            "context_window": said["context_window"],
            "enabled": None if said["enabled"] else False,
        }
