"""The forms of the routing pages: a policy, a prompt to try it with, and what a workspace knows of a model."""

from collections.abc import Mapping
from typing import Any

from django import forms

from gateway_project.lib import format as text
from gateway_project.lib.errors import ApiError
from gateway_project.lib.forms import ConsoleForm, Lines
from routing.policies import BUILT_IN, COMPLEXITIES, TASKS
from routing.policy_document import DEFAULTS, CacheIn, RagIn

TIMEOUTS = ("connect", "first_byte", "idle", "total")
# Fields that are called, and hold, what the document's do.
PLAIN_FIELDS = (
    "models", "fallbacks", "privacy_mode", "internal_may_leave", "max_cost_usd", "classifier", "calibrate", "hedge",
)  # fmt: skip
# Of the semantic cache: what it is without a word from anybody, and what the form shows in percent.
SEMANTIC_DEFAULTS = CacheIn.model_validate({}).model_dump()
PERCENTAGES = ("max_false_hits", "check_share")
# Passages, where a policy names a library and does not say how many.
RAG_TOP_K: int = RagIn.model_fields["top_k"].default
# Of the cache: all requests use it, or none.
ALWAYS, NEVER = "always", "never"
# How the purge form calls the policy that is built in, which has no id.
BUILT_IN_CHOICE = "built-in"
PLAIN = {"autocomplete": "off", "spellcheck": "false"}


def _number(label: str, *, largest: float | None = None, hint: str = "", required: bool = False) -> forms.FloatField:
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


def _seconds(label: str) -> forms.FloatField:
    field = _number(label, required=True)
    field.validators.append(_above_zero)
    return field


def _above_zero(number: float) -> None:
    if number == 0:  # less than that is refused as such
        raise forms.ValidationError("Must be above 0.")


def _short(number: float) -> float:
    """`number` without a point and zeros behind it."""
    return int(number) if number == int(number) else number


def _lines(label: str, hint: str) -> Lines:
    return Lines(
        label=label,
        required=False,
        help_text=hint,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "One a line", **PLAIN}),
    )


class PolicyForm(ConsoleForm):
    """A policy, new or changed. `document` is what the API takes; what the form does not show stays as it is."""

    name = forms.CharField(
        max_length=60,
        help_text="Requests ask for it as <code>policy/name</code>, and gateway keys name it.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    default = forms.BooleanField(required=False, label="The default: for requests and keys that name no policy")
    cost = _number("Cost", required=True)
    quality = _number("Quality", required=True)
    speed = _number("Speed", required=True)
    models = _lines("Models to choose from", "<code>model</code> or <code>provider/model</code>. Empty: all that chat.")
    fallbacks = _lines(
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
    min_simple = _number("Simple", largest=1)
    min_moderate = _number("Moderate", largest=1)
    min_complex = _number("Complex", largest=1)
    min_expert = _number("Expert", largest=1)
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
    exact_cache = forms.ChoiceField(
        label="Answers that are given again",
        required=False,
        choices=[
            ("", "Those at temperature 0"),
            (ALWAYS, "All, at any temperature"),
            (NEVER, "None"),
        ],
        help_text="By the cache, to identical requests. A request's own <code>cache</code>, on or off, goes first.",
    )
    semantic_cache = forms.BooleanField(
        required=False,
        label="Give them to requests that mean the same, too",
        help_text="Where only the last message differs, and says the same in other words.",
    )
    threshold = _number(
        "Least likeness of two messages, 0 to 1",
        largest=1,
        hint="Cosine of their embeddings. Empty: as the model that embeds needs it. Rises by itself.",
    )
    max_false_hits = _number("Most wrong hits, in %", largest=50, hint="Above that share the likeness asked for rises.")
    check_share = _number(
        "Hits that are checked, in %", largest=100, hint="Answered afresh in the background, and billed, to compare."
    )
    judge = forms.CharField(
        required=False,
        max_length=300,
        label="Judge of the comparison",
        help_text="<code>model</code> or <code>provider/model</code>. Empty: by embeddings alone.",
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "none"}),
    )
    rag_library = forms.CharField(
        required=False,
        max_length=120,
        label="Library that every request searches",
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
    connect = _seconds("Connect")
    first_byte = _seconds("First byte")
    idle = _seconds("Between two bytes")
    total = _seconds("In all")

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
        initial |= {what: _short(round(weight * 100 / total, 2)) for what, weight in said["weights"].items()}
        initial |= {f"min_{tier}": said["min_quality"][tier] for tier in COMPLEXITIES}
        exact = (said["cache"] or {}).get("exact")
        initial["exact_cache"] = "" if exact is None else ALWAYS if exact else NEVER
        cache = {**SEMANTIC_DEFAULTS, **(said["cache"] or {})}
        initial |= {"semantic_cache": cache["semantic"], "threshold": cache["threshold"], "judge": cache["judge"] or ""}
        initial |= {name: _short(round(100 * cache[name], 6)) for name in PERCENTAGES}
        rag = said["rag"] or {}
        initial |= {"rag_library": rag.get("library", ""), "rag_top_k": rag.get("top_k")}
        return initial | {name: _short(said["timeouts"][name]) for name in TIMEOUTS}

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
            "cache": self._cache(),
            "rag": self._rag(),
            "timeouts": {name: said[name] for name in TIMEOUTS},
            "tasks": {task: {place: said[f"{task}_{place}"] or None for place in ("local", "cloud")} for task in TASKS},
        }

    def _cache(self) -> dict[str, Any] | None:
        """What the stored document says of the cache, with the form's words; null stays null where they say nothing."""
        said = self.cleaned_data
        cache: dict[str, Any] = {
            "exact": {"": None, ALWAYS: True, NEVER: False}[said["exact_cache"]],
            "semantic": said["semantic_cache"],
            "threshold": said["threshold"],
            "judge": said["judge"] or None,
        }
        for name in PERCENTAGES:
            cache[name] = SEMANTIC_DEFAULTS[name] if said[name] is None else round(said[name] / 100, 8)
        new = {**SEMANTIC_DEFAULTS, **(self.stored["cache"] or {}), **cache}
        return None if self.stored["cache"] is None and new == SEMANTIC_DEFAULTS else new

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

    def _some(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names]

    @property
    def weight_fields(self) -> list[forms.BoundField]:
        return self._some("cost", "quality", "speed")

    @property
    def floor_fields(self) -> list[forms.BoundField]:
        return self._some(*(f"min_{tier}" for tier in COMPLEXITIES))

    @property
    def task_fields(self) -> list[forms.BoundField]:
        return self._some(*(f"{task}_{place}" for task in TASKS for place in ("local", "cloud")))

    @property
    def semantic_fields(self) -> list[forms.BoundField]:
        return self._some("threshold", "max_false_hits", "check_share", "judge")

    @property
    def timeout_fields(self) -> list[forms.BoundField]:
        return self._some(*TIMEOUTS)

    @property
    def more_open(self) -> bool:
        """Whether the folded part must be open: it holds an error, or what was changed and is not saved."""
        return self._must_open(*self.task_fields, *self.timeout_fields)

    @property
    def semantic_open(self) -> bool:
        """The same of what is said about semantic hits."""
        return self._must_open(*self.semantic_fields)

    def _must_open(self, *folded: forms.BoundField) -> bool:
        return self.is_bound and any(field.errors or field.name in self.changed_data for field in folded)

    def named(self, name: str) -> str:
        """What the field `name` is called away from its place in the form: with its group, as "Timeouts, connect"."""
        label = str(self.fields[name].label)
        group = "Least quality" if name.startswith("min_") else "Timeouts" if name in TIMEOUTS else ""
        return f"{group}, {label[:1].lower()}{label[1:]}" if group else label


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


class TryForm(ConsoleForm):
    """A prompt to see what a policy would do with it."""

    prompt = forms.CharField(
        max_length=20_000,
        strip=False,
        label="A prompt",
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "Prove that there are infinitely many primes."}),
    )
    sensitivity = forms.ChoiceField(
        required=False,
        choices=[("", "Not said"), ("public", "Public"), ("internal", "Internal"), ("confidential", "Confidential")],
    )
    complexity = forms.ChoiceField(
        required=False,
        choices=[("", "As classified"), *((tier, tier.capitalize()) for tier in COMPLEXITIES)],
    )

    def named(self, name: str) -> str:
        """What the field `name` is called."""
        return str(self.fields[name].label or name.capitalize())

    def body(self, model: str) -> dict[str, Any]:
        """The chat request that stands for it."""
        said = self.cleaned_data
        wishes = {name: said[name] for name in ("sensitivity", "complexity") if said[name]}
        return {"model": model, "messages": [{"role": "user", "content": said["prompt"]}], **wishes}


class ModelForm(ConsoleForm):
    """What a workspace knows better about a model; an empty field leaves it to the catalog."""

    input_usd_per_mtok = forms.DecimalField(required=False, min_value=0, max_digits=20, decimal_places=12)
    cached_input_usd_per_mtok = forms.DecimalField(required=False, min_value=0, max_digits=20, decimal_places=12)
    output_usd_per_mtok = forms.DecimalField(required=False, min_value=0, max_digits=20, decimal_places=12)
    quality = _number("Quality, 0 to 1", largest=1, hint="How good its answers are; 1 is the best there is.")
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
