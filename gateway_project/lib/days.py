"""Whole days in UTC, and the filters of a page that names the first and the last of some."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from gateway_project.lib.forms import ConsoleForm

DAY = timedelta(days=1)
# Far from where a day more or less is no date.
YEARS = (2000, 2999)


def midnight(day: date) -> datetime:
    """When `day` begins, in UTC."""
    return datetime.combine(day, time(), UTC)


def _day(label: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        error_messages={"invalid": f"{label}: not a day."},
        validators=[
            MinValueValidator(date(YEARS[0], 1, 1), f"{label}: is too long ago."),
            MaxValueValidator(date(YEARS[1], 12, 31), f"{label}: is too far away."),
        ],
    )


class DaysFilter(ConsoleForm):
    """Filters from the URL, of which two are days: UTC, both inclusive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields |= {"from": _day("From day"), "to": _day("To day")}  # `from` cannot be a name in a class
        self._dress()

    def clean(self) -> None:
        since, until = self.cleaned_data.get("from"), self.cleaned_data.get("to")
        if since and until and until < since:
            self.add_error("to", "Is before the first day.")

    @property
    def active(self) -> bool:
        """Whether any filter is set."""
        return any(self.cleaned_data.get(name) for name, field in self.fields.items() if not field.widget.is_hidden)

    def ends(self) -> tuple[datetime | None, datetime | None]:
        """The moments at which a valid form's days begin and are over."""
        since, until = self.cleaned_data["from"], self.cleaned_data["to"]
        return midnight(since) if since else None, midnight(until + DAY) if until else None
