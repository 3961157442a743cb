"""The engine: loads models when they are asked for, hands them to the runner, and lets them go again."""

import gc
import importlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings

from rag.embedding.catalog import Modality
from rag.embedding.client import ModelState, Text
from rag.embedding.engine.choice import Choice, Chooser
from rag.embedding.errors import EmbeddingError, ModelUnavailable

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from rag.embedding.engine.jobs import Job
    from rag.embedding.engine.runner import Runner

logger = logging.getLogger(__name__)

# A call of at most so much runs in one batch with others, ahead of larger calls.
SMALL_INPUTS, SMALL_TOKENS = 64, 2048
# Texts that are made into tokens while those before them are embedded.
WINDOW = 1024
# Beside its weights a model needs room for a batch.
ROOM = 1.25


@dataclass(frozen=True)
class Made:
    """What became of a call's inputs, in their order."""

    vectors: list[bytes]
    dimension: int
    model: str
    revision: str
    tokens: list[int]


@dataclass(frozen=True)
class Done:
    """A batch of a bulk's texts: their indices, and their vectors as float32."""

    indices: list[int]
    vectors: list[bytes]


@dataclass
class Loaded:
    """A model in memory. `model` is a `TextModel`, `RerankModel`, `ImageModel` or `AudioModel`."""

    choice: Choice
    model: Any
    used: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Call:
    """A call that runs: its result, and how to give it up."""

    result: "Future[Made]"
    job: "Job | None" = None

    def cancel(self) -> None:
        """Nobody waits any more; what has not begun will not."""
        if self.job is not None:
            self.job.cancelled = True


class Engine:
    """All models of one process. Thread-safe; imports torch with the first model."""

    def __init__(self) -> None:
        self.chooser = Chooser()
        self._loaded: dict[str, Loaded] = {}
        self._tokenizers: dict[str, Tokenizer] = {}
        self._loading = threading.Lock()
        self._runner: Runner | None = None

    # --- What is asked of models -------------------------------------------------------------------------------

    def embed(
        self,
        texts: Sequence[Text],
        *,
        model: str = "",
        role: Literal["query", "document"] = "query",
        truncate: bool = False,
        dimensions: int | None = None,
        normalize: bool = True,
    ) -> Call:
        """Begin to embed texts; loads the model first if it must (see `ready`). Raises EmbeddingError."""
        loaded = self._get(model, "text")
        text_model = loaded.model
        text_model.check_dimensions(dimensions)
        inputs = text_model.prepare(texts, role, truncate=truncate)

        def finish(indices: Sequence[int], rows: "torch.Tensor") -> list[bytes]:
            made: list[bytes] = text_model.finish(rows, indices, dimensions, normalize)
            return made

        return self._submit(loaded, inputs, dimensions or text_model.dimension, finish)

    def rerank(self, query: str, texts: Sequence[str], *, model: str = "") -> Call:
        """Begin to score texts; the vectors of the result are of one number each."""
        loaded = self._get(model, "rerank")
        return self._submit(loaded, loaded.model.prepare(query, texts), 1, self._finisher(loaded, normalize=False))

    def embed_media(
        self,
        files: Sequence[bytes],
        modality: Literal["image", "audio"],
        *,
        model: str = "",
        normalize: bool = True,
        truncate: bool = False,
    ) -> Call:
        """Begin to embed encoded pictures or sounds."""
        loaded = self._get(model, modality)
        inputs = loaded.model.prepare(files, truncate=truncate)
        return self._submit(loaded, inputs, loaded.model.dimension, self._finisher(loaded, normalize=normalize))

    def encode_documents(
        self, texts: Sequence[str], model: str = "", *, truncate: bool = True, normalize: bool = True
    ) -> Iterator[Done]:
        """The vectors of many texts, in batches of similar length and not in their order; queries go first.

        Raises EmbeddingError; BadVector names the text's index. Closing the iterator gives up the rest.
        """
        from rag.embedding.engine.jobs import Job

        loaded = self._get(model, "text")
        runner = self._running()
        arrived: queue.SimpleQueue[Done | Exception | None] = queue.SimpleQueue()
        jobs: list[Job] = []

        def begin(start: int) -> None:
            inputs = loaded.model.prepare(texts[start : start + WINDOW], "document", truncate=truncate)

            def rows(part: Sequence[int], made: "torch.Tensor") -> None:
                loaded.used = time.monotonic()
                indices = [start + index for index in part]
                arrived.put(Done(indices, loaded.model.finish(made, indices, None, normalize)))

            jobs.append(Job(loaded.model, inputs, loaded.model.lengths(inputs), rows, arrived.put))
            runner.submit(jobs[-1], large=True)

        starts = iter(range(0, len(texts), WINDOW))
        running = 0
        try:
            for start in (next(starts, None), next(starts, None)):
                if start is not None:
                    begin(start)
                    running += 1
            while running:
                match arrived.get():
                    case None:
                        running -= 1
                        if (start := next(starts, None)) is not None:
                            begin(start)
                            running += 1
                    case Exception() as error:
                        raise error
                    case done:
                        yield done
        finally:
            for job in jobs:
                job.cancelled = True

    def tokens(self, text: str, model: str = "") -> list[tuple[int, int]]:
        """Where each token of `text` begins and ends, in characters; no special tokens, no prompt.

        Needs the model's tokenizer alone, not its weights in memory.
        """
        offsets: list[tuple[int, int]] = self._tokenizer(model).encode(text, add_special_tokens=False).offsets
        return offsets

    # --- What is told of models --------------------------------------------------------------------------------

    def describe(self, model: str = "") -> ModelState:
        """The text model of this name, loaded."""
        loaded = self._get(model, "text")
        return self._state(loaded)

    def models(self) -> list[ModelState]:
        """The installation's models, those whose weights are here, and those in memory."""
        in_memory = {name: self._state(loaded) for name, loaded in list(self._loaded.items())}
        states = [in_memory.pop(state.id, state) for state in self.chooser.listed()]
        return states + list(in_memory.values())

    def stats(self) -> dict[str, Any]:
        """Counters since the start, and what waits now."""
        counted = vars(self._runner.stats) if self._runner else {}
        return {**counted, "waiting": self._runner.waiting if self._runner else 0, "loaded": sorted(self._loaded)}

    def _state(self, loaded: Loaded) -> ModelState:
        card = loaded.model.card
        state = ModelState(
            id=card.name, modality=card.modality, dimensions=list(card.dimensions), loaded=True,
            device=str(loaded.model.device.type), revision=loaded.model.revision, max_tokens=card.max_tokens,
        )  # fmt: skip
        default = self.chooser.settled
        if default is not None and default.card.name == card.name:
            state = replace(state, default=True, fallback_for=default.fallback_for, note=default.why)
        return state

    # --- Loading and letting go --------------------------------------------------------------------------------

    def ready(self, model: str, modality: Modality = "text") -> bool:
        """Whether a call of this model would begin at once."""
        name = model
        if not name and modality == "text" and self.chooser.settled:
            name = self.chooser.settled.card.name
        return name in self._loaded

    def _get(self, model: str, modality: Modality) -> Loaded:
        """The model in memory. Raises EmbeddingError."""
        loaded = self._loaded.get(model)
        if loaded is None or loaded.model.modality != modality:
            choice = self.chooser.choose(model, modality)
            loaded = self._loaded.get(choice.card.name) or self._load(choice)
        loaded.used = time.monotonic()
        return loaded

    def _load(self, choice: Choice) -> Loaded:
        with self._loading:
            if (known := self._loaded.get(choice.card.name)) is not None:
                return known
            began = time.monotonic()
            try:
                maker = _maker(choice.card.modality)
                self._make_room(choice)
                model = maker(choice.card, choice.weights)
            except EmbeddingError:
                raise
            except Exception as error:
                logger.exception("%s could not be loaded", choice.card.name)
                why = f"its weights could not be loaded ({type(error).__name__})"
                raise ModelUnavailable(choice.card.name, why) from None
            loaded = self._loaded[choice.card.name] = Loaded(choice, model)
            logger.info("loaded %s on %s in %.1f s", choice.card.name, model.device.type, time.monotonic() - began)
            return loaded

    def _make_room(self, choice: Choice) -> None:
        """Let go of models, the longest unused first, until this one fits. Raises ModelUnavailable."""
        from rag.embedding.engine import device

        needed = int(choice.weights.bytes() * ROOM)
        here = device.current()
        for name, _ in sorted(self._loaded.items(), key=lambda item: item[1].used):
            if device.free_bytes(here) >= needed:
                return
            self.unload(name)
        if (free := device.free_bytes(here)) < needed:
            why = f"it needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
            raise ModelUnavailable(choice.card.name, why)

    def unload(self, name: str) -> bool:
        """Let go of a model, unless a call uses it."""
        from rag.embedding.engine import device

        loaded = self._loaded.get(name)
        if loaded is None or self._running().uses(loaded.model):
            return False
        del self._loaded[name]
        self._running().forget(loaded.model)
        here = loaded.model.device
        del loaded
        device.give_back(here)
        logger.info("unloaded %s", name)
        return True

    def unload_idle(self) -> None:
        """Let go of what nobody asked for in settings.EMBEDDING_IDLE_SECONDS."""
        idle = settings.EMBEDDING_IDLE_SECONDS
        for name, loaded in list(self._loaded.items()):
            if idle and time.monotonic() - loaded.used > idle:
                self.unload(name)

    def stop(self) -> None:
        """End after what is running; further calls raise ModelUnavailable."""
        if self._runner is not None:
            self._runner.stop()

    def _running(self) -> "Runner":
        if self._runner is None:
            from rag.embedding.engine.runner import Runner

            with self._loading:
                self._runner = self._runner or Runner()
        return self._runner

    def _tokenizer(self, model: str) -> "Tokenizer":
        choice = self.chooser.choose(model, "text")
        known = self._tokenizers.get(choice.card.name)
        if known is None:
            from tokenizers import Tokenizer

            path = choice.weights.folder / "tokenizer.json"
            if not path.is_file():
                tokenizer: Tokenizer = self._get(model, "text").model.tokens.whole
                return tokenizer
            known = Tokenizer.from_file(str(path))
            known.no_padding()
            known.no_truncation()
            self._tokenizers[choice.card.name] = known
        return known

    # --- The way of a call -------------------------------------------------------------------------------------

    @staticmethod
    def _finisher(loaded: Loaded, *, normalize: bool) -> Callable[[Sequence[int], "torch.Tensor"], list[bytes]]:
        from rag.embedding.engine.text import finished

        return lambda indices, rows: finished(rows, indices, loaded.model.name, normalize=normalize)

    def _submit(
        self,
        loaded: Loaded,
        inputs: Sequence[Any],
        dimension: int,
        finish: Callable[[Sequence[int], "torch.Tensor"], list[bytes]],
    ) -> Call:
        from rag.embedding.engine.jobs import Job

        lengths = loaded.model.lengths(inputs)
        model = loaded.model
        made: list[bytes] = [b""] * len(inputs)
        result: Future[Made] = Future()
        if not inputs:
            result.set_result(Made([], dimension, model.name, model.revision, []))
            return Call(result)

        def rows(indices: Sequence[int], block: "torch.Tensor") -> None:
            for index, vector in zip(indices, finish(indices, block), strict=True):
                made[index] = vector

        def end(error: Exception | None) -> None:
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(Made(made, dimension, model.name, model.revision, lengths))

        job = Job(model, inputs, lengths, rows, end)
        small = len(inputs) == 1 or (len(inputs) <= SMALL_INPUTS and max(lengths) * len(inputs) <= SMALL_TOKENS)
        self._running().submit(job, large=not small)
        return Call(result, job)


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
    """What torch and its like make stays, so the collector does not look at it: a quarter of the time they take."""
    gc.disable()
    try:
        found = importlib.import_module(module)
        gc.freeze()
        return found
    finally:
        gc.enable()
