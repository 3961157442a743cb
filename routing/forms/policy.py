"""A policy's form."""

from collections.abc import Mapping
from typing import Any

from django import forms

from gateway_project.lib.errors import ApiError
from routing.forms.cache_fields import CacheFields, cache_initial
from routing.forms.fields import PLAIN, lines, number, seconds, short
from routing.policies import COMPLEXITIES, TASKS
from routing.policy_document import DEFAULTS, RagIn

TIMEOUTS = ("connect", "first_byte", "idle", "total")
# Fields that are called, and hold, what the document's do.
PLAIN_FIELDS = (
    "models", "fallbacks", "privacy_mode", "internal_may_leave", "max_cost_usd", "classifier", "calibrate", "hedge",
)  # fmt: skip
# Passages, where a policy names a library and does not say how many.
RAG_TOP_K: int = RagIn.model_fields["top_k"].default


class PolicyForm(CacheFields):
    """A policy, new or changed. `document` is what the API takes; what the form does not show stays as it is."""

    name = forms.CharField(
        max_length=60,
        help_text="Requests ask for it as <code>policy/name</code>, and gateway keys name it.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    default = forms.BooleanField(required=False, label="The default: for requests and keys that name no policy")
    cost = number("Cost", required=True)
    quality = number("Quality", required=True)
    speed = number("Speed", required=True)
    models = lines("Models to choose from", "<code>model</code> or <code>provider/model</code>. Empty: all that chat.")
    fallbacks = lines(
        "Fallbacks of a named model",
        "Asked in this order when a request named <code>provider/model</code> and it fails.",
    )
    privacy_mode = forms.ChoiceField(
        label="Privacy",
        required=False,
        choices=[("", "As each key and request asks"), ("strict", "Strict: local models only")],
    )
    internal_may_leave = forms.BooleanField(
        required=False, label="Internal requests may go to the cloud where no local model answers"
    )
    max_cost_usd = forms.DecimalField(
        label="Most that a request may cost, in USD",
        required=False,
        min_value=0,
        max_digits=20,
        decimal_places=12,
        help_text="By estimate. Cloud models without a known price are left out then.",
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )
    min_simple = number("Simple", largest=1)
    min_moderate = number("Moderate", largest=1)
    min_complex = number("Complex", largest=1)
    min_expert = number("Expert", largest=1)
    classifier = forms.ChoiceField(
        label="Classifier", choices=[("rules", "Rules: readable, the default"), ("learned", "Learned: a small model")]
    )
    calibrate = forms.BooleanField(
        required=False,
        label="Let feedback and outcomes move the quality of models",
        help_text="<code>calibrate</code> in the API.",
    )
    hedge = forms.BooleanField(
        required=False,
        label="Race a late answer with a second model; both are billed",
        help_text="<code>hedge</code> in the API.",
    )
    rag_library = forms.CharField(
        required=False,
        max_length=120,
        label="Library for all requests",
        help_text="Its name. Empty: only the one that a request's own <code>rag</code> names.",
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "none"}),
    )
    rag_top_k = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=50,
        label="Passages",
        help_text="What an answer is given to go by.",
        widget=forms.NumberInput(attrs={"placeholder": str(RAG_TOP_K)}),
    )
    connect = seconds("Connect")
    first_byte = seconds("First byte")
    idle = seconds("Between two bytes")
    total = seconds("In all")

    def __init__(self, *args: Any, name: str = "", default: bool = False, document: Mapping[str, Any], **kwargs: Any):
        self.stored = {**DEFAULTS, **document}
        kwargs.setdefault("initial", {**self._initial(), "name": name, "default": default})
        super().__init__(*args, **kwargs)
        for task in TASKS:
            for place in ("local", "cloud"):
                self.fields[f"{task}_{place}"] = forms.CharField(
                    required=False,
                    max_length=300,
                    label=f"{'OCR' if task == 'ocr' else task.capitalize()}, {place}",
                    initial=self.stored["tasks"][task][place] or "",
                    widget=forms.TextInput(attrs={**PLAIN, "placeholder": "none"}),
                )
        self._dress()

    def _initial(self) -> dict[str, Any]:
        said = self.stored
        initial = {name: said[name] for name in PLAIN_FIELDS}
        total = sum(said["weights"].values())
        initial |= {what: short(round(weight * 100 / total, 2)) for what, weight in said["weights"].items()}
        initial |= {f"min_{tier}": said["min_quality"][tier] for tier in COMPLEXITIES}
        initial |= cache_initial(said["cache"])
        rag = said["rag"] or {}
        initial |= {"rag_library": rag.get("library", ""), "rag_top_k": rag.get("top_k")}
        return initial | {name: short(said["timeouts"][name]) for name in TIMEOUTS}

    def document(self) -> dict[str, Any]:
        """The cleaned fields under the API's names. Weights that say what the stored ones say are the stored ones."""
        said = self.cleaned_data
        weights = {what: said[what] for what in ("cost", "quality", "speed")}
        if all(said[what] == self.initial[what] for what in weights):
            weights = self.stored["weights"]
        return {
            "weights": weights,
            "models": said["models"] or None,
            "fallbacks": said["fallbacks"],
            "privacy_mode": said["privacy_mode"] or None,
            "internal_may_leave": said["internal_may_leave"],
            "max_cost_usd": None if said["max_cost_usd"] is None else str(said["max_cost_usd"]),
            "min_quality": {tier: said[f"min_{tier}"] for tier in COMPLEXITIES},
            "classifier": said["classifier"],
            "calibrate": said["calibrate"],
            "hedge": said["hedge"],
            "cache": self.cache_document(self.stored["cache"]),
            "rag": self._rag(),
            "timeouts": {name: said[name] for name in TIMEOUTS},
            "tasks": {task: {place: said[f"{task}_{place}"] or None for place in ("local", "cloud")} for task in TASKS},
        }

    def _rag(self) -> dict[str, Any] | None:
        """The library that requests search, with the stored filters; null without one."""
        said = self.cleaned_data
        if not said["rag_library"]:
            return None
        chosen = {"library": said["rag_library"], "top_k": said["rag_top_k"] or RAG_TOP_K}
        return {**(self.stored["rag"] or {}), **chosen}

    def fields_for_service(self) -> dict[str, Any]:
        """What a service takes to create or change the policy."""
        return {"name": self.cleaned_data["name"], "default": self.cleaned_data["default"], **self.document()}

    def refuse(self, error: ApiError) -> None:
        """Show `error` at the field of the form that holds what the API's field does."""
        parts = (error.param or "").split(".")
        match parts:
            case ["weights", what, *_] | ["timeouts", what, *_] if what in self.fields:
                field = what
            case ["weights", *_]:
                field = "cost"
            case ["min_quality", tier, *_]:
                field = f"min_{tier}"
            case ["tasks", task, place, *_]:
                field = f"{task}_{place}"
            case ["cache", "exact" | "semantic" as which, *_]:
                field = f"{which}_cache"
            case ["rag", which, *_] if f"rag_{which}" in self.fields:
                field = f"rag_{which}"
            case ["cache", which, *_] if which in self.fields:
                field = which
            case _:
                field = parts[0]
        message = error.message.removeprefix(f"{error.param}: ")
        self.add_error(field if field in self.fields else None, message[:1].upper() + message[1:])

    # --- In groups, as the page shows them ---

    @property
    def weight_fields(self) -> list[forms.BoundField]:
        return self.some("cost", "quality", "speed")

    @property
    def floor_fields(self) -> list[forms.BoundField]:
        return self.some(*(f"min_{tier}" for tier in COMPLEXITIES))

    @property
    def task_fields(self) -> list[forms.BoundField]:
        return self.some(*(f"{task}_{place}" for task in TASKS for place in ("local", "cloud")))

    @property
    def timeout_fields(self) -> list[forms.BoundField]:
        return self.some(*TIMEOUTS)

    @property
    def more_open(self) -> bool:
        """Whether the folded part must be open: it holds an error, or what was changed and is not saved."""
        return self.must_open(*self.task_fields, *self.timeout_fields)

    def named(self, name: str) -> str:
        """What the field `name` is called away from its place in the form: with its group, as "Timeouts, connect"."""
        label = str(self.fields[name].label)
        group = "Least quality" if name.startswith("min_") else "Timeouts" if name in TIMEOUTS else ""
        return f"{group}, {label[:1].lower()}{label[1:]}" if group else label
