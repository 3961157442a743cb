"""The one thread that runs models: small calls together and first, large ones in between, a batch at a time.

Nothing waits for company: a call that finds the thread idle runs at once, and those that arrive meanwhile are the next
batch. A large call gives way to small ones after each of its batches, and gets every `PATIENCE`th turn at the least.
Of large calls the one with the least left goes on: so they end one after the other and not all at once, and what its
caller does next, such as to read a document, is done while the others are at work.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from rag.embedding.engine import batches, device
from rag.embedding.errors import EmbeddingError, ModelUnavailable, Overloaded

logger = logging.getLogger(__name__)

# Small calls in a row while a large one waits.
PATIENCE = 8
# Every so many turns of large calls go to the one that had none for the longest time, however much is left of it.
ROTATION = 4
# Inputs, and tokens of them, that may wait in all.
MOST_WAITING = 50_000
MOST_TOKENS_WAITING = 30_000_000
# A batch of a large call takes about so long on a CPU, and so small calls wait at most that.
BATCH_SECONDS = 0.2
FEWEST_TOKENS, MOST_TOKENS = 256, 131_072
MOST_INPUTS = 1024
SHARE_SECONDS = 2.0


class Model(Protocol):
    """What runs. `bytes_per_token`: what a batch needs beside the weights."""

    name: str
    device: torch.device
    bytes_per_token: int

    def run(self, inputs: Sequence[Any]) -> torch.Tensor:
        """A row of float32 on the CPU for each input."""


@dataclass(eq=False)
class Job:
    """The inputs of one call. `on_rows` is told of rows as they are made: (indices, rows); `on_end` once, at the end.

    Both are called by the runner's thread.
    """

    model: Model
    inputs: Sequence[Any]
    lengths: Sequence[int]
    on_rows: Callable[[Sequence[int], torch.Tensor], None]
    on_end: Callable[[Exception | None], None]
    cancelled: bool = False
    order: list[int] = field(init=False)
    at: int = 0
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.order = batches.longest_first(self.lengths)
        self.tokens = sum(self.lengths)

    @property
    def left(self) -> int:
        return len(self.order) - self.at


@dataclass
class Stats:
    """Counted since the start."""

    batches: int = 0
    inputs: int = 0
    tokens: int = 0
    seconds: float = 0.0
    halved: int = 0
    refused: int = 0


class Pace:
    """How many tokens make a batch of a model: `BATCH_SECONDS` of a CPU's work, or what fits into a GPU's memory."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._per_second = 4000.0
        self._ceiling = MOST_TOKENS

    def tokens(self) -> int:
        wanted = self._ceiling
        if self._model.device.type == "cpu":
            wanted = min(wanted, int(self._per_second * BATCH_SECONDS))
        else:
            # Half: other processes take memory, too, and torch's blocks are larger than what lies in them.
            room = device.free_bytes(self._model.device) // 2
            wanted = min(wanted, room // max(1, self._model.bytes_per_token))
        return max(FEWEST_TOKENS, wanted)

    def took(self, tokens: int, seconds: float) -> None:
        """A batch of so many tokens, padding included, took so long."""
        if tokens >= FEWEST_TOKENS // 4:
            self._per_second += 0.2 * (tokens / max(seconds, 1e-4) - self._per_second)
        self._ceiling = min(MOST_TOKENS, self._ceiling + self._ceiling // 64 + 1)

    def was_too_much(self, tokens: int) -> None:
        self._ceiling = max(FEWEST_TOKENS, tokens // 2)


class Runner:
    """Starts its thread with the first job."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._small: deque[Job] = deque()
        self._large: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._in_a_row = self._large_turns = 0
        self._shared_at = 0.0
        self._waiting_inputs = self._waiting_tokens = 0
        self._paces: dict[int, Pace] = {}
        self.busy_with: Model | None = None

    @property
    def waiting(self) -> int:
        """Inputs that are not embedded yet."""
        return self._waiting_inputs

    def submit(self, job: Job, *, large: bool) -> None:
        """Raises Overloaded, and ModelUnavailable after `stop`."""
        with self._changed:
            if self._stopped:
                raise ModelUnavailable(job.model.name, "the worker is stopping")
            over = self._waiting_tokens + job.tokens > MOST_TOKENS_WAITING
            if self._waiting_inputs and (over or self._waiting_inputs + job.left > MOST_WAITING):
                self.stats.refused += 1
                raise Overloaded
            self._waiting_inputs += job.left
            self._waiting_tokens += job.tokens
            (self._large if large else self._small).append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="embedding", daemon=True)
                self._thread.start()
            self._changed.notify()

    def uses(self, model: Model) -> bool:
        """Whether a job of this model waits or runs."""
        with self._changed:
            return self.busy_with is model or any(job.model is model for job in (*self._small, *self._large))

    def forget(self, model: Model) -> None:
        """The model was unloaded."""
        self._paces.pop(id(model), None)

    def stop(self) -> None:
        """Finish what is small; end what is large with an error."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._small and not self._large and not self._stopped:
                    self._changed.wait()
                if self._stopped and not self._small:
                    gone, self._large = list(self._large), deque()
                    break
                turn = self._next()
                self.busy_with = turn[0][0].model
            self._run(turn)
            self.busy_with = None
        for job in gone:
            self._end(job, ModelUnavailable(job.model.name, "the worker is stopping"))

    def _next(self) -> list[tuple[Job, Sequence[int]]]:
        """What runs together now: jobs, each with the indices of its inputs in this batch."""
        if self._small and not (self._large and self._in_a_row >= PATIENCE):
            self._in_a_row += 1
            return self._gather()
        self._in_a_row = 0
        job = self._next_large()
        end = batches.end_of_batch(job.order, job.at, job.lengths, self._pace(job.model).tokens(), MOST_INPUTS)
        part = job.order[job.at : end]
        job.at = end
        if job.left:
            self._large.append(job)
        return [(job, part)]

    def _next_large(self) -> Job:
        """Taken out of the queue, in which they stand by how long each had no turn."""
        self._large_turns += 1
        job = self._large[0] if self._large_turns % ROTATION == 0 else min(self._large, key=lambda each: each.left)
        self._large.remove(job)
        return job

    def _gather(self) -> list[tuple[Job, Sequence[int]]]:
        """The oldest small job and those of the same model that fit beside it."""
        model, budget = self._small[0].model, self._pace(self._small[0].model).tokens()
        taken: list[tuple[Job, Sequence[int]]] = []
        others: deque[Job] = deque()
        count = longest = 0
        while self._small:
            job = self._small.popleft()
            longer = max(longest, max(job.lengths, default=1))
            fits = (count + len(job.inputs)) * longer <= budget and count + len(job.inputs) <= MOST_INPUTS
            if job.model is model and (fits or not taken):
                taken.append((job, job.order))
                job.at = len(job.order)
                count, longest = count + len(job.inputs), longer
            else:
                others.append(job)
        self._small = others
        return taken

    def _pace(self, model: Model) -> Pace:
        return self._paces.setdefault(id(model), Pace(model))

    def _run(self, turn: list[tuple[Job, Sequence[int]]]) -> None:
        with self._changed:
            self._waiting_inputs -= sum(len(part) for _, part in turn)
            self._waiting_tokens -= sum(job.lengths[index] for job, part in turn for index in part)
        alive = [(job, part) for job, part in turn if not job.cancelled]
        for job, _ in turn:
            if job.cancelled:
                self._drop(job, EmbeddingError("Nobody waits for it any more."))
        if not alive:
            return
        model = alive[0][0].model
        inputs = [job.inputs[index] for job, part in alive for index in part]
        lengths = [job.lengths[index] for job, part in alive for index in part]
        try:
            rows = self._rows(model, inputs, lengths)
        except Exception as error:
            if not isinstance(error, EmbeddingError):
                logger.exception("%s failed on a batch of %d", model.name, len(inputs))
                error = ModelUnavailable(model.name, f"it failed with {type(error).__name__}")
            for job, _ in alive:
                self._drop(job, error)
            return
        start = 0
        for job, part in alive:
            self._deliver(job, part, rows[start : start + len(part)])
            start += len(part)

    def _deliver(self, job: Job, part: Sequence[int], rows: torch.Tensor) -> None:
        try:
            job.on_rows(part, rows)
        except EmbeddingError as error:
            self._drop(job, error)
            return
        if not job.left:
            self._end(job, None)

    def _drop(self, job: Job, error: Exception) -> None:
        """End a job with an error, and forget what is left of it."""
        with self._changed:
            if job in self._large:
                self._large.remove(job)
            self._waiting_inputs -= job.left
            self._waiting_tokens -= sum(job.lengths[index] for index in job.order[job.at :])
            job.at = len(job.order)
        self._end(job, error)

    @staticmethod
    def _end(job: Job, error: Exception | None) -> None:
        try:
            job.on_end(error)
        except Exception:  # a caller's loop that is gone must not end this thread
            logger.exception("an embedding's caller could not be told")

    def _share_cores(self, model: Model) -> None:
        """Look every few seconds how many threads a batch should have."""
        if model.device.type == "cpu" and time.monotonic() - self._shared_at > SHARE_SECONDS:
            self._shared_at = time.monotonic()
            device.share_cores()

    def _rows(self, model: Model, inputs: list[Any], lengths: list[int]) -> torch.Tensor:
        """The batch's rows; in halves when memory is short. Raises ModelUnavailable when one input is too much."""
        self._share_cores(model)
        cost, began, worked = len(inputs) * max(lengths, default=1), time.monotonic(), time.process_time()
        try:
            rows = model.run(inputs)
        except Exception as error:
            if not device.is_out_of_memory(error):
                raise
            if len(inputs) == 1:
                raise ModelUnavailable(model.name, "the device has too little memory for one input") from None
            self.stats.halved += 1
            self._pace(model).was_too_much(cost)
        else:
            seconds = time.monotonic() - began
            # Of work, not by the clock: while others want the cores, smaller batches would only take longer in all.
            self._pace(model).took(cost, (time.process_time() - worked) / torch.get_num_threads())
            self.stats.batches += 1
            self.stats.inputs += len(inputs)
            self.stats.tokens += sum(lengths)
            self.stats.seconds += seconds
            return rows
        # Outside of `except`: the error's traceback would keep the batch's tensors alive.
        device.give_back(model.device)
        middle = len(inputs) // 2
        halves = ((inputs[:middle], lengths[:middle]), (inputs[middle:], lengths[middle:]))
        return torch.cat([self._rows(model, *half) for half in halves])
