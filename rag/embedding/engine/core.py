"""The engine: what is asked of models becomes jobs of the runner, which runs those that are in memory."""

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rag.embedding.catalog import Modality
from rag.embedding.client import ModelState, Text
from rag.embedding.engine.choice import Chooser, installations
from rag.embedding.engine.memory import Loaded, Memory
from rag.embedding.errors import BadVector

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from rag.embedding.engine.runner import Runner

# A call of at most so much runs in one batch with others, ahead of larger calls.
SMALL_INPUTS, SMALL_TOKENS = 64, 2048
# Texts that are made into tokens while those before them are embedded.
WINDOW = 1024


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


@dataclass(frozen=True)
class Call:
    """A call that runs: its result, and how to give it up."""

    result: "Future[Made]"
    # Nobody waits any more: what has not begun will not.
    cancel: Callable[[], None] = lambda: None


class Engine:
    """All models of one process. Thread-safe; imports torch with the first model."""

    def __init__(self) -> None:
        self.chooser = Chooser()
        self.memory = Memory(self._runs)
        self._tokenizers: dict[str, Tokenizer] = {}
        self._starting = threading.Lock()
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
        with self._using(model, "text") as loaded:
            text_model = loaded.model
            text_model.check_dimensions(dimensions)
            inputs = text_model.prepare(texts, role, truncate=truncate)

            def finish(indices: Sequence[int], rows: "torch.Tensor") -> list[bytes]:
                made: list[bytes] = text_model.finish(rows, indices, dimensions, normalize)
                return made

            return self._submit(loaded, inputs, dimensions or text_model.dimension, finish)

    def rerank(self, query: str, texts: Sequence[str], *, model: str = "") -> Call:
        """Begin to score texts; the vectors of the result are of one number each."""
        with self._using(model, "rerank") as loaded:
            inputs = loaded.model.prepare(query, texts)
            return self._submit(loaded, inputs, 1, self._finisher(loaded, normalize=False))

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
        with self._using(model, modality) as loaded:
            inputs = loaded.model.prepare(files, truncate=truncate)
            return self._submit(loaded, inputs, loaded.model.dimension, self._finisher(loaded, normalize=normalize))

    def encode_documents(self, texts: Sequence[str], model: str = "") -> Iterator[Done]:
        """The vectors of many texts, in batches of similar length and not in their order; queries go first.

        A text of more tokens than the model takes is cut. Raises EmbeddingError; BadVector names the text's index.
        Closing the iterator gives up the rest.
        """
        with self._using(model, "text") as loaded:
            yield from self._encode(texts, loaded)

    def _encode(self, texts: Sequence[str], loaded: Loaded) -> Iterator[Done]:
        from rag.embedding.engine.jobs import Job

        runner = self._running()
        arrived: queue.SimpleQueue[Done | Exception | None] = queue.SimpleQueue()
        jobs: list[Job] = []

        def begin(start: int) -> None:
            try:
                inputs = loaded.model.prepare(texts[start : start + WINDOW], "document", truncate=True)
            except BadVector as error:
                raise BadVector(start + error.index, error.model) from None

            def rows(part: Sequence[int], made: "torch.Tensor") -> None:
                indices = [start + index for index in part]
                arrived.put(Done(indices, loaded.model.finish(made, indices, None, normalize=True)))

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
                runner.give_up(job)

    def tokens(self, text: str, model: str = "") -> list[tuple[int, int]]:
        """Where each token of `text` begins and ends, in characters; no special tokens, no prompt.

        Needs the model's tokenizer alone, not its weights in memory.
        """
        offsets: list[tuple[int, int]] = self._tokenizer(model).encode(text, add_special_tokens=False).offsets
        return offsets

    # --- What is told of models --------------------------------------------------------------------------------

    def describe(self, model: str = "") -> ModelState:
        """The text model of this name, loaded."""
        with self._using(model, "text") as loaded:
            return self._state(loaded)

    def models(self) -> list[ModelState]:
        """The installation's models, those whose weights are here, and those in memory."""
        in_memory = {name: self._state(loaded) for name, loaded in self.memory.loaded().items()}
        states = [in_memory.pop(state.id, state) for state in self.chooser.listed()]
        return states + list(in_memory.values())

    def stats(self) -> dict[str, Any]:
        """Counters since the start, and what waits now."""
        counted = vars(self._runner.stats) if self._runner else {}
        return {
            **counted,
            "waiting": self._runner.waiting if self._runner else 0,
            "loaded": sorted(self.memory.loaded()),
        }

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
        settled = self.chooser.settled
        if model:
            return self.memory.has(model)
        if modality == "text":
            return settled is not None and self.memory.has(settled.card.name)
        return self.memory.has(installations(modality))

    @contextmanager
    def _using(self, model: str, modality: Modality) -> Iterator[Loaded]:
        """The model in memory, where the block keeps it, and later the jobs made in it. Raises EmbeddingError."""
        loaded = self.memory.take(model, modality)
        if loaded is None:
            loaded = self.memory.load(self.chooser.choose(model, modality))
        try:
            yield loaded
        finally:
            self.memory.put_down(loaded)

    def stop(self) -> None:
        """End after what is running; further calls raise ModelUnavailable."""
        if self._runner is not None:
            self._runner.stop()

    def _running(self) -> "Runner":
        if self._runner is None:
            from rag.embedding.engine.runner import Runner

            with self._starting:
                self._runner = self._runner or Runner()
        return self._runner

    def _runs(self, model: Any) -> bool:
        return self._runner is not None and self._runner.uses(model)

    def _tokenizer(self, model: str) -> "Tokenizer":
        choice = self.chooser.choose(model, "text")
        known = self._tokenizers.get(choice.card.name)
        if known is None:
            from tokenizers import Tokenizer

            path = choice.weights.folder / "tokenizer.json"
            if not path.is_file():
                with self._using(model, "text") as loaded:
                    tokenizer: Tokenizer = loaded.model.tokens.whole
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

        name: str = loaded.model.name
        return lambda indices, rows: finished(rows, indices, name, normalize=normalize)

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
            loaded.used = time.monotonic()
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(Made(made, dimension, model.name, model.revision, lengths))

        job = Job(model, inputs, lengths, rows, end)
        small = len(inputs) == 1 or (len(inputs) <= SMALL_INPUTS and max(lengths) * len(inputs) <= SMALL_TOKENS)
        runner = self._running()
        runner.submit(job, large=not small)
        return Call(result, functools.partial(runner.give_up, job))
