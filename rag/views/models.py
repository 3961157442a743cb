"""What the pages say of embedding models: which one is in use, and what stands in its way."""

from dataclasses import dataclass, field

from django.conf import settings
from django.forms import Form
from django.utils.html import format_html, format_html_join

from rag.embedding import client
from rag.embedding.client import ModelState
from rag.embedding.errors import EmbeddingError

# A page waits no longer for the worker than this.
SECONDS = 0.7
# Models that a hint names; the field offers all.
NAMED = 6


@dataclass(frozen=True)
class Models:
    """The text models that a library can be embedded by. `away`: why nobody can say, while the worker is gone."""

    default: str
    fallback_for: str = ""
    note: str = ""
    away: str = ""
    choices: list[str] = field(default_factory=list)


def text_models() -> Models:
    """What the embedding worker says of its text models; at most `SECONDS`."""
    wanted = settings.EMBEDDING_TEXT_MODEL
    try:
        states = client.current.models_sync(timeout=SECONDS)
    except EmbeddingError as error:
        return Models(default=wanted, away=str(error))
    texts = [state for state in states if state.modality == "text"]
    default = next((state for state in texts if state.default), None)
    choices = [state.id for state in texts if state.available]
    if default is None:
        return Models(default=wanted, choices=choices)
    return Models(default.id, default.fallback_for, _note(default), choices=choices)


def models_for(form: Form) -> Models:
    """As `text_models`; where `form` asks for a model its hint names those that there are."""
    models = text_models()
    if "model" in form.fields and models.choices:
        more = ", …" if len(models.choices) > NAMED else ""
        named = format_html_join(", ", "<code>{}</code>", ((name,) for name in models.choices[:NAMED]))
        field = form["model"]
        field.help_text = format_html("{} Available: {}{}.", field.help_text, named, more)
    return models


def _note(state: ModelState) -> str:
    if not state.note or (state.available and not state.fallback_for):
        return ""
    return f"{state.note[:1].upper()}{state.note[1:].rstrip('.')}."
