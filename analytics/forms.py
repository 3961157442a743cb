"""The filters of the page of requests."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q, QuerySet

from analytics.models import UsageRecord
from gateway_project.lib.forms import ConsoleForm

STATUSES = {
    "ok": ("Answered", Q(status__lt=400)),
    "failed": ("Not answered", Q(status__gte=400)),
    "client": ("Refused (4xx)", Q(status__gte=400, status__lt=500)),
    "server": ("Failed (5xx)", Q(status__gte=500)),
}


def _day(label: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        error_messages={"invalid": f"{label}: not a day."},
    )


class RequestFilter(ConsoleForm):
    """Filters from the URL. Days are UTC days, both inclusive."""

    model = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "Any", "autocomplete": "off", "spellcheck": "false"}),
    )
    key = forms.ChoiceField(required=False, label="Key")
    status = forms.ChoiceField(
        required=False, choices=[("", "Any"), *((id, label) for id, (label, _) in STATUSES.items())]
    )

    def __init__(self, *args: Any, keys: dict[UUID, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields |= {"from": _day("From day"), "to": _day("To day")}  # `from` cannot be a name in a class
        self._dress()
        self.fields["key"].choices = [("", "Any"), *((str(id), name) for id, name in keys.items())]  # type: ignore[attr-defined]

    def clean(self) -> None:
        since, until = self.cleaned_data.get("from"), self.cleaned_data.get("to")
        if since and until and until < since:
            self.add_error("to", "To day: is before the first day.")

    @property
    def active(self) -> bool:
        """Whether any filter is set."""
        return any(self.cleaned_data.get(name) for name in self.fields)

    def apply(self, records: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """The records that match. A model matches by what was asked for or what answered, in part."""
        data = self.cleaned_data
        if data["model"]:
            records = records.filter(Q(model__icontains=data["model"]) | Q(requested_model__icontains=data["model"]))
        if data["key"]:
            records = records.filter(key_id=data["key"])
        if data["status"]:
            records = records.filter(STATUSES[data["status"]][1])
        if data["from"]:
            records = records.filter(created_at__gte=datetime.combine(data["from"], time(), UTC))
        if data["to"]:
            records = records.filter(created_at__lt=datetime.combine(data["to"] + timedelta(days=1), time(), UTC))
        return records
