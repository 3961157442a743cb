"""What several of the routing pages' forms have: fields, and groups of them."""

from django import forms

from gateway_project.lib.forms import ConsoleForm, Lines

PLAIN = {"autocomplete": "off", "spellcheck": "false"}


def number(label: str, *, largest: float | None = None, hint: str = "", required: bool = False) -> forms.FloatField:
    """A number from 0 to `largest`."""
    return forms.FloatField(
        label=label,
        min_value=0,
        max_value=largest,
        required=required,
        help_text=hint,
        error_messages={
            "min_value": "Must be at least %(limit_value)s.",
            "max_value": "Must be at most %(limit_value)s.",
        },
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )


def seconds(label: str) -> forms.FloatField:
    """A time above 0."""
    field = number(label, required=True)
    field.validators.append(_above_zero)
    return field


def _above_zero(number: float) -> None:
    if number == 0:  # less than that is refused as such
        raise forms.ValidationError("Must be above 0.")


def short(number: float) -> float:
    """`number` without a point and zeros behind it."""
    return int(number) if number == int(number) else number


def lines(label: str, hint: str) -> Lines:
    """Names, one a line."""
    return Lines(
        label=label,
        required=False,
        help_text=hint,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "One a line", **PLAIN}),
    )


class GroupedForm(ConsoleForm):
    """A form whose page shows its fields in groups, some of them folded."""

    def some(self, *names: str) -> list[forms.BoundField]:
        """A group of fields, as the page shows it."""
        return [self[name] for name in names]

    def must_open(self, *folded: forms.BoundField) -> bool:
        """Whether a folded group must be open: it holds an error, or what was changed and is not saved."""
        return self.is_bound and any(field.errors or field.name in self.changed_data for field in folded)
