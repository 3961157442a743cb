"""The gateway's own embedding models as targets: local, at no price, beside the providers of every workspace.

They are called by their names, or as `gateway/<model>` where a provider serves a model of that name, too; `auto` is
the one that the installation embeds texts by. Which of them can be used, the embedding worker knows.
"""

import functools
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from keys.kinds import Kind
from keys.queries import KeyFacts
from rag.embedding import catalog
from rag.embedding.client import ModelState, current
from rag.embedding.errors import EmbeddingError
from routing.providers.base import Target

PROVIDER = "gateway"
PROVIDER_ID = str(UUID(int=0))
# None of those that users can add.
KIND = Kind(
    id=PROVIDER, label="This gateway", wire="embedder", base_path="", auth_header="", health_path="", models_path="",
    capabilities=frozenset({"embeddings"}),
)  # fmt: skip
# What `prepared` has the name under that the worker is asked by.
ASKED = "embedder"

# Seconds for which what the worker said of its models holds, and that its word is waited for.
FRESH, PATIENCE = 10.0, 2.0
AWAY = "The embedding worker does not answer; it is started again by itself."


def default() -> Target:
    """What `auto` stands for: the installation's text model, or what the worker has in its place."""
    return _default(settings.EMBEDDING_TEXT_MODEL)


@functools.lru_cache(maxsize=4)
def _default(configured: str) -> Target:
    return _made(catalog.card(configured).name, asked="")


def is_called(model: str) -> bool:
    """Whether `model` names the gateway's own, whatever a provider says that it serves."""
    return model.startswith(f"{PROVIDER}/")


def named(model: str) -> tuple[Target, ...]:
    """The text model of this name, with or without `gateway/` before it; none where it is nothing of the gateway's.

    Any name may follow `gateway/`: the worker knows what lies in its folders, and refuses the rest.
    """
    own, slash, rest = model.partition("/")
    if slash and own == PROVIDER:
        return (_named(catalog.card(rest).name),) if rest else ()
    card = catalog.card(model)
    if (card.known and card.modality == "text") or model == settings.EMBEDDING_TEXT_MODEL:
        return (_named(card.name),)
    return ()


@functools.lru_cache(maxsize=256)
def _named(model: str) -> Target:
    return _made(model, asked=model)


def _made(model: str, *, asked: str) -> Target:
    return Target(PROVIDER_ID, PROVIDER, KIND, "", model, True, None, prepared={ASKED: asked})


def known(model: str) -> Target:
    """The target that a model of the worker's is, whatever its modality: for an answer that is there."""
    return _named(model)


def endpoint_of(model: str) -> str:
    """Where the worker's model of this name is asked, as far as the worker has said that it has it; else ""."""
    name = model.removeprefix(f"{PROVIDER}/")
    modality = next((state.modality for state in models.usable() if state.id == name), None)
    return "" if modality is None else "/v1/embeddings" if modality == "text" else f"/v1/embeddings/{modality}"


def that_answered(asked: Target, answer: Mapping[str, Any]) -> Target:
    """Who made `answer` when `asked` was: of the gateway's own models, the one that it names may stand in for that."""
    model = answer.get("model")
    return _named(model) if is_house(asked) and type(model) is str and model != asked.model else asked


def is_house(target: Target | None) -> bool:
    """Whether `target` is one of these."""
    return target is not None and target.provider_id == PROVIDER_ID


class Models:
    """What the worker last said of its models. For one thread, the event loop's; others may read."""

    def __init__(self) -> None:
        self.states: tuple[ModelState, ...] = ()
        self._asked_at = float("-inf")

    async def look(self) -> None:
        """Ask again, unless that was done a moment ago. Raises nothing: while the worker is away, nothing is listed."""
        now = time.monotonic()
        if now - self._asked_at < FRESH:
            return
        self._asked_at = now
        try:
            self.states = tuple(await current.models(timeout=PATIENCE))
        except EmbeddingError:
            self.states = ()

    def usable(self) -> list[ModelState]:
        """Those of texts, pictures and sounds whose weights are here."""
        return [state for state in self.states if state.available and state.modality != "rerank"]


models = Models()


def listed(caller: KeyFacts) -> dict[str, Any]:
    """What `/v1/embeddings/models` shows to `caller`: the models that its key may use."""
    states = models.states or tuple(
        ModelState(catalog.card(name, modality).name, modality, note=AWAY, available=False, default=modality == "text")
        for name, modality in _installations()
    )
    allowed = caller.allowed_models
    return {
        "data": [
            {
                "id": state.id,
                "modality": state.modality,
                "dimensions": state.dimensions,
                "loaded": state.loaded,
                "device": state.device,
                "available": state.available,
                "default": state.default,
                "max_tokens": state.max_tokens or None,
                "fallback_for": state.fallback_for or None,
                "note": state.note or None,
            }
            for state in states
            if allowed is None or not allowed.isdisjoint((state.id, f"{PROVIDER}/{state.id}"))
        ]
    }


def _installations() -> list[tuple[str, catalog.Modality]]:
    """The models that variables name."""
    named: list[tuple[str, catalog.Modality]] = [
        (settings.EMBEDDING_TEXT_MODEL, "text"),
        (settings.EMBEDDING_IMAGE_MODEL, "image"),
        (settings.EMBEDDING_AUDIO_MODEL, "audio"),
    ]
    return [(name, modality) for name, modality in named if name]
