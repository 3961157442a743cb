"""What the console's forms share: their look, and a service's refusal becoming a field's error."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from gateway_project.lib.errors import ApiError


class ConsoleForm(forms.Form):
    """A form whose controls carry the console's classes."""

    # Where a service names a field otherwise than the form does: its name -> the form's.
    params: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self._dress()

    def _dress(self) -> None:
        for field in self.fields.values():
            widget = field.widget
            if isinstance(widget, (forms.CheckboxInput, forms.CheckboxSelectMultiple, forms.RadioSelect)):
                widget.attrs.setdefault("class", "form-check-input")
            elif isinstance(widget, forms.Select):
                widget.attrs.setdefault("class", "form-select")
            else:
                widget.attrs.setdefault("class", "form-control")

    def refuse(self, error: ApiError) -> None:
        """Show `error` at the field that it names, or above the form when it names none of these."""
        param = (error.param or "").partition(".")[0]
        named = self.params.get(param, param)
        field = named if named in self.fields else None
        message = error.message.removeprefix(f"{error.param}: ") if error.param else error.message
        self.add_error(field, message[:1].upper() + message[1:])


class Lines(forms.CharField):
    """A text area with one item a line; cleans to the list of distinct items, in their order."""

    widget = forms.Textarea

    def clean(self, value: str) -> list[str]:
        lines = (line.strip() for line in (super().clean(value) or "").splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, (list, tuple)) else value
