"""The models in memory: read from the disk when one is asked for, and let go when nobody uses it."""

import gc
import importlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from django.conf import settings

from rag.embedding.catalog import Modality
from rag.embedding.engine.choice import Choice
from rag.embedding.errors import ModelUnavailable

logger = logging.getLogger(__name__)

# Beside its weights a model needs room for a batch.
ROOM = 1.25
# Weights that cannot be loaded are not tried again for so long: each try may read gigabytes, and others wait for it.
FAILED_SECONDS = 30.0


@dataclass
class Loaded:
    """A model in memory. `model` is a `TextModel`, `RerankModel`, `ImageModel` or `AudioModel`.

    `holders` count those who have it at hand without a job of it in the runner.
    """

    choice: Choice
    model: Any
    used: float = field(default_factory=time.monotonic)
    holders: int = 0


@dataclass(frozen=True)
class Failure:
    """Why these weights could not be loaded, and when that was."""

    revision: str
    why: str
    at: float = field(default_factory=time.monotonic)


class Memory:
    """Models by name. Thread-safe. `runs` tells whether a job of a model waits or runs."""

    def __init__(self, runs: Callable[[Any], bool]) -> None:
        self._runs = runs
        self._loaded: dict[str, Loaded] = {}
        # By what they were taken for as well: a model asked for as what it is not is none the worse for it.
        self._failures: dict[tuple[str, Modality], Failure] = {}
        # For as long as a model is read: two at once could each find room for one.
        self._reading = threading.Lock()
        # For a moment, the event loop's threads included.
        self._changing = threading.Lock()

    def loaded(self) -> dict[str, Loaded]:
        """What is in memory now."""
        with self._changing:
            return dict(self._loaded)

    def has(self, name: str) -> bool:
        """Whether this model is in memory. It counts as used now, so that it is still there for who asks next."""
        with self._changing:
            found = self._loaded.get(name)
            if found is not None:
                found.used = time.monotonic()
            return found is not None

    def take(self, name: str, modality: Modality) -> Loaded | None:
        """The model if it is in memory; it stays there until `put_down`."""
        with self._changing:
            found = self._loaded.get(name)
            if found is None or found.model.modality != modality:
                return None
            found.holders += 1
            found.used = time.monotonic()
            return found

    def put_down(self, loaded: Loaded) -> None:
        """The other end of `take` and `load`."""
        with self._changing:
            loaded.holders -= 1
            loaded.used = time.monotonic()

    def load(self, choice: Choice) -> Loaded:
        """`take`, of a model that is read first if it must. Raises ModelUnavailable."""
        card = choice.card
        if (known := self.take(card.name, card.modality)) is not None:
            return known
        with self._reading:
            if (known := self.take(card.name, card.modality)) is not None:
                return known
            began = time.monotonic()
            model = self._read(choice)
            loaded = Loaded(choice, model, holders=1)
            with self._changing:
                self._loaded[card.name] = loaded
            logger.info("loaded %s on %s in %.1f s", card.name, model.device.type, time.monotonic() - began)
            return loaded

    def _read(self, choice: Choice) -> Any:
        """The model from its files. Raises ModelUnavailable."""
        name, revision, key = choice.card.name, choice.weights.revision, (choice.card.name, choice.card.modality)
        failed = self._failures.pop(key, None)
        if failed is not None and failed.revision == revision and time.monotonic() - failed.at < FAILED_SECONDS:
            self._failures[key] = failed
            raise ModelUnavailable(name, failed.why)
        self._make_room(choice)
        try:
            return _maker(choice.card.modality)(choice.card, choice.weights)
        except ModelUnavailable as error:
            why = error.why
        except Exception as error:
            logger.exception("%s could not be loaded", name)
            why = f"its weights could not be loaded ({type(error).__name__})"
        # Outside of `except`: the error's traceback would keep alive what was read so far.
        self._failures[key] = Failure(revision, why)
        _give_back()
        raise ModelUnavailable(name, why)

    def _make_room(self, choice: Choice) -> None:
        """Let go of models, the longest unused first, until this one fits. Raises ModelUnavailable."""
        from rag.embedding.engine import device

        here = device.current()
        needed = int(choice.weights.numbers() * device.dtype(choice.card, here).itemsize * ROOM)
        for name in self._longest_unused_first():
            if device.free_bytes(here) >= needed:
                return
            self.unload(name)
        if (free := device.free_bytes(here)) < needed:
            why = f"it needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
            raise ModelUnavailable(choice.card.name, why)

    def _longest_unused_first(self) -> list[str]:
        """Their names alone: what refers to a model keeps it in memory."""
        with self._changing:
            return sorted(self._loaded, key=lambda name: self._loaded[name].used)

    def unload(self, name: str, *, idle_for: float = 0.0) -> bool:
        """Let go of a model, unless somebody uses it or did within `idle_for` seconds."""
        with self._changing:
            loaded = self._loaded.get(name)
            if loaded is None or loaded.holders or self._runs(loaded.model):
                return False
            if time.monotonic() - loaded.used < idle_for:
                return False
            del self._loaded[name]
        del loaded
        _give_back()
        logger.info("unloaded %s", name)
        return True

    def unload_idle(self) -> None:
        """Let go of what nobody asked for in settings.EMBEDDING_IDLE_SECONDS; 0 keeps everything."""
        if idle := settings.EMBEDDING_IDLE_SECONDS:
            for name in self._longest_unused_first():
                self.unload(name, idle_for=idle)


def _give_back() -> None:
    from rag.embedding.engine import device

    device.give_back(device.current())


def _maker(modality: Modality) -> Callable[..., Any]:
    """The class that loads models of this modality; its module imports torch."""
    module, name = {
        "text": ("text", "TextModel"),
        "rerank": ("text", "RerankModel"),
        "image": ("image", "ImageModel"),
        "audio": ("audio", "AudioModel"),
    }[modality]
    maker: Callable[..., Any] = getattr(_imported(f"rag.embedding.engine.{module}"), name)
    return maker


def _imported(module: str) -> ModuleType:
    """The collector pauses meanwhile, which is a quarter of the time: what torch and its like make is no garbage."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.enable()
