"""The forms of the pages for libraries and documents."""

from collections.abc import Mapping
from typing import Any

import orjson
from django import forms

from gateway_project.lib.forms import ConsoleForm
from rag.chunk import DEFAULTS
from rag.models import DEFAULT_LIBRARY, OCR_AUTO, Library, PrivacyMode, Status
from rag.schemas import CHUNK_TOKENS, LONGEST_QUERY, MOST_RESULTS

PLAIN = {"autocomplete": "off", "spellcheck": "false"}
# The ids of text models that the page offers while one types; see the template `rag/models.html`.
MODELS = {**PLAIN, "list": "embedding-models"}
PRIVACY_CHOICES = [
    ("", "As each request asks"),
    (PrivacyMode.STRICT, "Strict: local models only"),
    (PrivacyMode.FLEXIBLE, "Flexible: cloud models, too"),
]
STATUS_CHOICES = [("", "Any"), ("waiting", "On its way"), (Status.READY, "Ready"), (Status.FAILED, "Failed")]
MODES = [("hybrid", "Both"), ("vector", "Meaning"), ("text", "Words")]
# Characters of metadata or filters as JSON.
LONGEST_JSON = 64 * 1024
# Passages that a search shows unless it says how many.
DEFAULT_TOP_K = 10
# Above this a select is no help: the search page takes a library's name as text.
MOST_CHOICES = 200


def _line(
    label: str = "",
    *,
    longest: int,
    hint: str = "",
    required: bool = False,
    initial: str = "",
    attrs: Mapping[str, str] = PLAIN,
) -> forms.CharField:
    """One line of text that browsers neither complete nor correct."""
    return forms.CharField(
        max_length=longest,
        required=required,
        label=label or None,
        help_text=hint,
        initial=initial or None,
        widget=forms.TextInput(attrs=dict(attrs)),
    )


def _number(label: str, *, least: int, most: int, usual: int, hint: str = "") -> forms.IntegerField:
    """A number that may be left out; `usual` holds then."""
    return forms.IntegerField(
        required=False,
        min_value=least,
        max_value=most,
        label=label,
        help_text=hint,
        widget=forms.NumberInput(attrs={"placeholder": str(usual)}),
    )


def _json(hint: str, rows: int) -> forms.CharField:
    """A JSON object, which the form's `clean_…` reads."""
    return forms.CharField(
        max_length=LONGEST_JSON,
        required=False,
        help_text=hint,
        widget=forms.Textarea(attrs={"rows": rows, "spellcheck": "false", "class": "form-control mono"}),
    )


class LibraryForm(ConsoleForm):
    """A library, new or changed. What made the vectors of one that has some is changed by re-embedding alone."""

    name = _line(longest=120, required=True, hint="What requests call it: <code>rag.library</code>.")
    model = _line(
        "Embedding model",
        longest=300,
        hint="Empty: the installation's. With documents in it, a library changes its model by re-embedding.",
        attrs=MODELS,
    )
    chunk_tokens = _number(
        "Chunk size, in tokens",
        least=CHUNK_TOKENS[0],
        most=CHUNK_TOKENS[1],
        usual=DEFAULTS[0],
        hint="Of what is added from now on.",
    )
    overlap = _number(
        "Overlap, in tokens",
        least=0,
        most=CHUNK_TOKENS[1] // 2,
        usual=DEFAULTS[1],
        hint="At most half of a chunk.",
    )
    contextual_header = forms.BooleanField(
        required=False,
        initial=True,
        label="Embed each chunk with its document's title and section before it",
        help_text="Finds a passage that does not name what it is about. Citations do not show it.",
    )
    language = _line(longest=2, hint="Two letters, such as <code>en</code>. Empty: found out for each document.")
    privacy_mode = forms.ChoiceField(
        choices=PRIVACY_CHOICES,
        required=False,
        label="Privacy",
        help_text="Holds for every answer from its documents, beside what the request, key and policy ask for.",
    )
    ocr = _line(
        "OCR: who reads pages that are pictures",
        longest=300,
        initial=OCR_AUTO,
        hint="<code>auto</code>: tesseract, or where it is not installed a model that sees; <code>off</code>: nobody; "
        "or a model, as a request names one, such as <code>policy/Balanced</code>.",
    )

    def __init__(self, *args: Any, library: Library | None = None, **kwargs: Any) -> None:
        if library is not None:
            kwargs.setdefault("initial", {name: getattr(library, name) for name in self.base_fields})
        super().__init__(*args, **kwargs)
        if library is not None and library.space_id is not None:
            del self.fields["model"]
        if library is not None and library.name == DEFAULT_LIBRARY:
            self.fields["name"].disabled = True
            self.fields["name"].help_text = "It is the one that a request means that names none, and keeps its name."

    def fields_for_service(self) -> dict[str, Any]:
        """What a service takes to create or change the library."""
        blank = ("model", "language", "privacy_mode")
        said = {name: self.cleaned_data[name] for name in self.fields}
        said["ocr"] = said["ocr"] or OCR_AUTO
        return {name: (value or None) if name in blank else value for name, value in said.items()}


class DocumentsForm(ConsoleForm):
    """The filters of a library's documents."""

    q = forms.CharField(max_length=200, required=False, label="Title or source", widget=forms.TextInput(attrs=PLAIN))
    status = forms.ChoiceField(choices=STATUS_CHOICES, required=False)

    def clean_q(self) -> str:
        return str(self.cleaned_data["q"]).replace("\0", "")


class TextForm(ConsoleForm):
    """A text that is pasted in."""

    title = _line(longest=500, hint="Empty: its first line.")
    text = forms.CharField(label="Text", strip=False, widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false"}))
    source = _line(longest=1000, hint="What it is a version of: a later text of the same source takes its place.")

    def clean_text(self) -> str:
        text = str(self.cleaned_data["text"])
        if not text.strip():
            raise forms.ValidationError("There is nothing in it.")
        return text


class UrlForm(ConsoleForm):
    """A page or file on the web, which the gateway fetches once."""

    url = _line(
        "URL",
        longest=1000,
        required=True,
        hint="Fetched once, now. Adding it again fetches its next version.",
        attrs={**PLAIN, "inputmode": "url", "placeholder": "https://"},
    )
    title = _line(longest=500, hint="Empty: what it calls itself.")


class DocumentForm(ConsoleForm):
    """A document's title and metadata."""

    title = _line(longest=500, required=True)
    metadata = _json("A JSON object; searches filter by it.", rows=6)

    def clean_metadata(self) -> dict[str, Any]:
        return json_object(self.cleaned_data["metadata"])


class SearchForm(ConsoleForm):
    """What is looked for, where and how. In the URL, so that a search can be shared."""

    q = _line(
        "Question or words",
        longest=LONGEST_QUERY,
        required=True,
        attrs={**PLAIN, "type": "search", "class": "form-control"},
    )
    library = forms.ChoiceField(
        required=False, label="In", error_messages={"invalid_choice": "There is no library %(value)s."}
    )
    mode = forms.ChoiceField(choices=MODES, required=False, label="Search by")
    top_k = _number("Passages", least=1, most=MOST_RESULTS, usual=DEFAULT_TOP_K)
    filters = _json('JSON, such as <code>{"year": {"gte": 2020}}</code>.', rows=2)

    def __init__(self, *args: Any, libraries: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        everywhere = ("", "All libraries")
        if len(libraries) > MOST_CHOICES:
            self.fields["library"] = forms.CharField(required=False, max_length=120, label="In", help_text="A name.")
            self._dress()
        else:
            self.fields["library"].choices = [everywhere, *libraries]  # type: ignore[attr-defined]

    def clean_filters(self) -> dict[str, Any]:
        return json_object(self.cleaned_data["filters"])


class ReembedForm(ConsoleForm):
    """The model that a library goes to."""

    model = _line("Embedding model", longest=300, hint="Empty: the installation's.", attrs=MODELS)


def json_object(text: str) -> dict[str, Any]:
    """The JSON object that `text` holds; empty where it is. Raises forms.ValidationError in words."""
    if not text.strip():
        return {}
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise forms.ValidationError(f"This is not valid JSON: {error}.") from None
    if type(given) is not dict:
        raise forms.ValidationError("This must be a JSON object: {…}.")
    return given
