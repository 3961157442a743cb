"""The filters of the pages of requests and of analytics."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q

from analytics.charts import MEASURES
from analytics.period import PRESETS, Period, period, preset
from analytics.queries import Filters
from gateway_project.lib.days import DaysFilter

STATUSES = {
    "ok": ("Answered", Q(status__lt=400)),
    "failed": ("Not answered", Q(status__gte=400)),
    "client": ("Refused (4xx)", Q(status__gte=400, status__lt=500)),
    "server": ("Failed (5xx)", Q(status__gte=500)),
}
CACHES = {"hit": "Hit", "miss": "Miss", "off": "Off"}
COMPLEXITIES = {name: name.capitalize() for name in ("simple", "moderate", "complex", "expert")}
PLACES = {"local": "Local", "cloud": "Cloud"}
KINDS = {"yes": "Streamed", "no": "In one piece"}
CUSTOM = "custom"
GROUPS = {"model": "Model", "provider": "Provider", "key": "Key", "policy": "Policy", "user": "Member"}


def _choice(label: str, choices: Mapping[str, str] | None = None) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, required=False, choices=[("", "Any"), *(choices or {}).items()])


class _Filter(DaysFilter):
    """`names` are what there is to choose from, by field: a value that is named in the URL is always among them."""

    provider = _choice("Provider")
    key = _choice("Key")
    policy = _choice("Policy")

    def __init__(self, *args: Any, names: Mapping[str, Mapping[Any, str] | Iterable[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, found in names.items():
            labels = found if isinstance(found, Mapping) else {value: value for value in found}
            choices = [("", "Any"), *((str(value), label) for value, label in labels.items())]
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def _id(self, name: str) -> UUID | None:
        return UUID(self.cleaned_data[name]) if self.cleaned_data[name] else None


class RequestFilter(_Filter):
    """The filters of the page of requests. A model matches in part, by what was asked for or by what answered."""

    model = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "Any", "autocomplete": "off", "spellcheck": "false"}),
    )
    status = _choice("Status", {id: label for id, (label, _) in STATUSES.items()})
    user = _choice("Member")
    cache = _choice("Cache", CACHES)
    complexity = _choice("Complexity", COMPLEXITIES)
    privacy = _choice("Locality", PLACES)
    stream = _choice("Answer", KINDS)
    q = forms.CharField(
        label="Request id",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"placeholder": "x-request-id", "autocomplete": "off", "spellcheck": "false"}),
    )

    FEW = ("model", "key", "status", "from", "to")
    MORE = ("provider", "policy", "user", "cache", "complexity", "privacy", "stream", "q")
    field_order = (*FEW, *MORE)

    @property
    def more_active(self) -> bool:
        """Whether any of the filters that are folded away is set."""
        return any(self.data.get(name) for name in self.MORE)

    def filters(self) -> Filters:
        """What a valid form asks for."""
        data = self.cleaned_data
        since, until = self.ends()
        return Filters(
            model_like=data["model"], provider=data["provider"], policy=data["policy"], privacy=data["privacy"],
            cache=data["cache"], complexity=data["complexity"], key=self._id("key"), user=self._id("user"),
            status=STATUSES[data["status"]][1] if data["status"] else None,
            stream=data["stream"] == "yes" if data["stream"] else None, since=since, until=until,
            id=data["q"],
        )  # fmt: skip


class AnalyticsFilter(_Filter):
    """The filters of the page of analytics, and what its groups and their chart are."""

    model = _choice("Model")
    period = forms.ChoiceField(
        required=False,
        choices=[*((id, label) for id, (label, _) in PRESETS.items()), (CUSTOM, "Own dates")],
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "Period: there is no such period."},
    )
    by = forms.ChoiceField(
        required=False,
        choices=list(GROUPS.items()),
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "By: there are no such groups."},
    )
    measure = forms.ChoiceField(
        required=False,
        choices=list(MEASURES.items()),
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "Measure: there is no such measure."},
    )

    @property
    def chosen_period(self) -> str:
        """An id of PRESETS, or CUSTOM, as it is as soon as a day is named."""
        data = getattr(self, "cleaned_data", {})
        if data.get("from") or data.get("to"):
            return CUSTOM
        return data.get("period") or "30d"

    @property
    def custom(self) -> bool:
        return self.chosen_period == CUSTOM

    def span(self, now: datetime) -> Period:
        """The period of a valid form. Raises InvalidRequest naming `from` or `to`."""
        return period(*self.ends(), now) if self.custom else preset(self.chosen_period, now)

    def filters(self) -> Filters:
        """What a valid form asks for, without the period."""
        data = self.cleaned_data
        return Filters(model=data["model"], provider=data["provider"], policy=data["policy"], key=self._id("key"))
