"""The forms of the pages for providers and gateway keys."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from accounts.forms import LimitsForm
from gateway_project.lib import format as text
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.forms import ConsoleForm, Lines
from gateway_project.lib.schemas import parse
from keys.kinds import Kind
from keys.models import GatewayKey, Locality, PrivacyMode, Provider, Scope
from keys.schemas import ProviderChange

# Where these servers listen unless told otherwise, for the placeholder.
USUAL_ADDRESS = {
    "vllm": "http://localhost:8000",
    "ollama": "http://localhost:11434",
    "llamacpp": "http://localhost:8080",
    "tgi": "http://localhost:8080",
    "sglang": "http://localhost:30000",
    "localai": "http://localhost:8080",
    "lmstudio": "http://localhost:1234",
    "azure": "https://my-resource.openai.azure.com",
}
SCOPE_LABELS = {
    Scope.INFERENCE: "Inference: call models",
    Scope.DOCUMENTS_READ: "Documents: read and search",
    Scope.DOCUMENTS_WRITE: "Documents: add and delete",
}
PRIVACY_CHOICES = [("", "As each request asks"), (PrivacyMode.STRICT, "Strict: local models only")]
# It allows what "" allows, so it is offered only where a key, made with the API, has it.
FLEXIBLE_CHOICE = (PrivacyMode.FLEXIBLE, "Flexible: the same, as each request asks")


class ProviderForm(ConsoleForm):
    """A provider of one kind, new or changed: only the fields that the kind has a use for."""

    name = forms.CharField(
        max_length=60,
        help_text="What requests call it: <code>name/model</code>. Without a slash.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    base_url = forms.CharField(
        max_length=500,
        label="Address",
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )
    api_key = forms.CharField(
        max_length=4000,
        label="API key",
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Stored encrypted. Only its last four characters are ever shown again.",
    )
    models = Lines(
        label="Models",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
        help_text="One model id a line. Leave empty to serve whatever the provider lists.",
    )
    locality = forms.ChoiceField(
        label="Where it runs",
        choices=[
            ("", "Decide by its address"),
            (Locality.LOCAL, "Local: on machines of yours"),
            (Locality.CLOUD, "Cloud: outside your network"),
        ],
        help_text="Local is accepted only for a private address.",
    )

    def __init__(self, kind: Kind, *args: Any, provider: Provider | None = None, **kwargs: Any) -> None:
        if provider is not None:
            kwargs.setdefault("initial", self._initial(provider))
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.provider = provider
        if kind.wire == "demo":
            for name in ("base_url", "api_key", "models", "locality"):
                del self.fields[name]
            return
        if not kind.self_hosted:
            del self.fields["locality"]
        self._require(provider)

    def _initial(self, provider: Provider) -> dict[str, Any]:
        return {
            "name": provider.name,
            "base_url": provider.base_url,
            "models": provider.model_ids,
            "locality": provider.locality,
        }

    def _require(self, provider: Provider | None) -> None:
        kind, fields = self.kind, self.fields
        fields["base_url"].required = not kind.base_url
        fields["base_url"].widget.attrs["placeholder"] = kind.base_url or USUAL_ADDRESS.get(
            kind.id, "http://localhost:8000"
        )
        if kind.self_hosted:
            fields["base_url"].help_text = "With or without <code>/v1</code>."
            fields["locality"].required = False
        elif kind.base_url:
            fields["base_url"].help_text = "Only if you reach it through an address of your own."
        stored = provider is not None and bool(provider.secret_hint)
        fields["api_key"].required = kind.needs_key and not stored
        if stored and provider is not None:
            fields["api_key"].widget.attrs["placeholder"] = f"••••••••{provider.secret_hint}"
            fields["api_key"].help_text = "Leave empty to keep the stored key."
        fields["models"].required = not kind.lists_models
        if not kind.lists_models:
            fields["models"].help_text = "One deployment name a line: this kind cannot list them by itself."

    def clean_name(self) -> str:
        """Checked as the API does, so that what is wrong here is said with what is wrong in the other fields."""
        name: str = self.cleaned_data["name"]
        try:
            return parse(ProviderChange, {"name": name}).name
        except InvalidRequest as error:
            message = error.message.removeprefix("name: ")
            raise forms.ValidationError(message[:1].upper() + message[1:]) from None

    def fields_for_service(self) -> dict[str, Any]:
        """The cleaned fields under the API's names: all of a new provider's, the changed ones of an older one."""
        data = {name: value or None for name, value in self.cleaned_data.items()}
        if self.provider is None:
            return {"kind": self.kind.id, **data}
        return {name: value for name, value in data.items() if name in self.changed_data}

    @property
    def main_fields(self) -> list[forms.BoundField]:
        """What has to be filled in, and what most people will look for."""
        return [field for field in self if field.name == "name" or field.field.required or self._is_main(field.name)]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        """What most people leave alone."""
        main = {field.name for field in self.main_fields}
        return [field for field in self if field.name not in main]

    def _is_main(self, name: str) -> bool:
        return name == "api_key" or (name == "base_url" and self.kind.self_hosted)

    @property
    def more_open(self) -> bool:
        """Whether the fold must be open: it holds an error or a value."""
        return any(field.errors or field.value() for field in self.more_fields if field.name != "locality")


def free_name(kind: Kind, taken: set[str]) -> str:
    """A name for a new provider of `kind`: its id, or that with a number. `taken` is in lower case."""
    names = [kind.id, *(f"{kind.id}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


class GatewayKeyForm(LimitsForm):
    """A gateway key, new or changed."""

    params = {"expires_at": "expires_on"}

    name = forms.CharField(
        max_length=120,
        help_text="What it is for: an application, a person, a machine.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="The key works through the end of this day (UTC). Leave empty for a key that never expires.",
    )
    allowed_models = Lines(
        label="Allowed models",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One a line, such as <code>openai/gpt-4o-mini</code>. Leave empty to allow every model.",
    )
    policy = forms.ChoiceField(
        required=False,
        help_text="How <code>auto</code> chooses for this key. A request may ask for another one by name.",
    )
    privacy_mode = forms.ChoiceField(
        label="Privacy",
        required=False,
        choices=PRIVACY_CHOICES,
        help_text="A request may ask for strict itself; it cannot loosen a strict key.",
    )
    scopes = forms.MultipleChoiceField(
        label="May be used for",
        choices=[(scope.value, SCOPE_LABELS[scope]) for scope in Scope],
        initial=[scope.value for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one."},
        help_text="The two for documents are for document libraries, which come later.",
    )

    def __init__(self, *args: Any, key: GatewayKey | None = None, policies: Sequence[str] = (), **kwargs: Any) -> None:
        if key is not None:
            last_day = key.expires_at and (key.expires_at.astimezone(UTC) - timedelta(microseconds=1)).date()
            kwargs.setdefault(
                "initial",
                {
                    "name": key.name,
                    "expires_on": last_day,
                    "allowed_models": key.allowed_models or [],
                    "policy": key.policy,
                    "privacy_mode": key.privacy_mode,
                    "scopes": key.scopes,
                },
            )
        super().__init__(*args, limited=key, **kwargs)
        names = dict.fromkeys([*policies, key.policy] if key is not None and key.policy else policies)
        self.fields["policy"].choices = [  # type: ignore[attr-defined]
            ("", "The default of the workspace"),
            *((name, text.policy(name)) for name in names),
        ]
        if key is not None and key.privacy_mode == PrivacyMode.FLEXIBLE:
            self.fields["privacy_mode"].choices = [*PRIVACY_CHOICES, FLEXIBLE_CHOICE]  # type: ignore[attr-defined]
        self.fields["expires_on"].widget.attrs["min"] = timezone.now().astimezone(UTC).date().isoformat()

    def clean_expires_on(self) -> date | None:
        last_day: date | None = self.cleaned_data["expires_on"]
        if last_day and "expires_on" in self.changed_data and last_day < timezone.now().astimezone(UTC).date():
            raise forms.ValidationError("This day is over already.")
        return last_day

    @property
    def more_open(self) -> bool:
        return any(self[name].errors or self[name].value() for name in ("allowed_models", "policy", "privacy_mode"))

    def fields_for_service(self) -> dict[str, Any]:
        """The cleaned fields under the API's names."""
        data = self.cleaned_data
        last_day: date | None = data["expires_on"]
        end = datetime.combine(last_day + timedelta(days=1), time(), UTC) if last_day else None
        fields = {
            "name": data["name"],
            "expires_at": end,
            "allowed_models": data["allowed_models"] or None,
            "policy": data["policy"] or None,
            "privacy_mode": data["privacy_mode"] or None,
            "scopes": data["scopes"],
            **self.limits_for_service(),
        }
        if "expires_on" not in self.changed_data:
            del fields["expires_at"]  # one that is past already stays as it is
        return fields


class RotateForm(ConsoleForm):
    overlap_seconds = forms.TypedChoiceField(
        label="The current secret",
        coerce=int,
        initial=3600,
        choices=[
            (0, "stops working now"),
            (3600, "works for another hour"),
            (86400, "works for another day"),
            (604800, "works for another week"),
        ],
    )
