"""The forms of the pages for libraries and documents."""

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


class LibraryForm(ConsoleForm):
    """A library, new or changed. What made the vectors of one that has some is changed by re-embedding alone."""

    name = forms.CharField(
        max_length=120,
        help_text="What requests call it: <code>rag.library</code>.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    model = forms.CharField(
        max_length=300,
        required=False,
        label="Embedding model",
        help_text="Empty: the installation's. With documents in it, a library changes its model by re-embedding.",
        widget=forms.TextInput(attrs=MODELS),
    )
    chunk_tokens = forms.IntegerField(
        required=False,
        min_value=CHUNK_TOKENS[0],
        max_value=CHUNK_TOKENS[1],
        label="Chunk size, in tokens",
        help_text="Of what is added from now on.",
        widget=forms.NumberInput(attrs={"placeholder": str(DEFAULTS[0])}),
    )
    overlap = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=CHUNK_TOKENS[1] // 2,
        label="Overlap, in tokens",
        help_text="At most half of a chunk.",
        widget=forms.NumberInput(attrs={"placeholder": str(DEFAULTS[1])}),
    )
    contextual_header = forms.BooleanField(
        required=False,
        initial=True,
        label="Embed each chunk with its document's title and section before it",
        help_text="Finds a passage that does not name what it is about. Citations do not show it.",
    )
    language = forms.CharField(
        max_length=2,
        required=False,
        label="Language",
        help_text="Two letters, such as <code>en</code>. Empty: found out for each document.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    privacy_mode = forms.ChoiceField(
        choices=PRIVACY_CHOICES,
        required=False,
        label="Privacy",
        help_text="Holds for every answer from its documents, beside what the request, key and policy ask for.",
    )
    ocr = forms.CharField(
        max_length=300,
        required=False,
        initial=OCR_AUTO,
        label="Who reads pages that are pictures",
        help_text="<code>auto</code>: tesseract, or where it is not installed a model that sees; <code>off</code>: "
        "nobody; or a model, as a request names one, such as <code>policy/Balanced</code>.",
        widget=forms.TextInput(attrs=PLAIN),
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

    title = forms.CharField(
        max_length=500, required=False, help_text="Empty: its first line.", widget=forms.TextInput(attrs=PLAIN)
    )
    text = forms.CharField(label="Text", strip=False, widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false"}))
    source = forms.CharField(
        max_length=1000,
        required=False,
        help_text="What it is a version of: a later text of the same source takes its place.",
        widget=forms.TextInput(attrs=PLAIN),
    )

    def clean_text(self) -> str:
        text = str(self.cleaned_data["text"])
        if not text.strip():
            raise forms.ValidationError("There is nothing in it.")
        return text


class UrlForm(ConsoleForm):
    """A page or file on the web, which the gateway fetches once."""

    url = forms.CharField(
        max_length=1000,
        label="URL",
        help_text="Fetched once, now. Adding it again fetches its next version.",
        widget=forms.TextInput(attrs={**PLAIN, "inputmode": "url", "placeholder": "https://"}),
    )
    title = forms.CharField(
        max_length=500, required=False, help_text="Empty: what it calls itself.", widget=forms.TextInput(attrs=PLAIN)
    )


class DocumentForm(ConsoleForm):
    """A document's title and metadata."""

    title = forms.CharField(max_length=500, widget=forms.TextInput(attrs=PLAIN))
    metadata = forms.CharField(
        max_length=LONGEST_JSON,
        required=False,
        help_text="A JSON object; searches filter by it.",
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "form-control mono"}),
    )

    def clean_metadata(self) -> dict[str, Any]:
        return json_object(self.cleaned_data["metadata"])


class SearchForm(ConsoleForm):
    """What is looked for, where and how. In the URL, so that a search can be shared."""

    q = forms.CharField(
        max_length=LONGEST_QUERY,
        label="Question or words",
        widget=forms.TextInput(attrs={**PLAIN, "type": "search", "class": "form-control"}),
    )
    library = forms.ChoiceField(required=False, label="In")
    mode = forms.ChoiceField(choices=MODES, required=False, label="Search by")
    top_k = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_RESULTS,
        label="Passages",
        widget=forms.NumberInput(attrs={"placeholder": str(DEFAULT_TOP_K)}),
    )
    filters = forms.CharField(
        max_length=LONGEST_JSON,
        required=False,
        help_text='JSON, such as <code>{"year": {"gte": 2020}}</code>.',
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "class": "form-control mono"}),
    )

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

    model = forms.CharField(
        max_length=300,
        required=False,
        label="Embedding model",
        help_text="Empty: the installation's.",
        widget=forms.TextInput(attrs=MODELS),
    )


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
