"""Runs models: small calls together and first, large ones in between, a batch at a time.

A GPU has one lane. A CPU has several, each a thread with cores of its own: threads that share a batch wait for each
other after every operation, and for the slowest whenever something else wants its core; those that have a batch each
do not. Only what is alone has all cores.

Nothing waits for company: a call that finds nothing small running runs at once, and those that arrive meanwhile are
the next batch. A large call gives way to small ones after each of its batches, and gets every `PATIENCE`th turn at the
least. Of large calls the one with the least left goes on: so they end one after the other and not all at once, and what
its caller does next, such as to read a document, is done while the others are at work.
"""

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from rag.embedding.engine import batches, device
from rag.embedding.engine.jobs import Job, Model, Pace, Stats
from rag.embedding.errors import EmbeddingError, ModelUnavailable, Overloaded

logger = logging.getLogger(__name__)

# Small calls in a row while a large one waits.
PATIENCE = 8
# Every so many turns of large calls go to the one that had none for the longest time, however much is left of it.
ROTATION = 4
# Inputs, and tokens of them, that may wait in all.
MOST_WAITING = 50_000
MOST_TOKENS_WAITING = 30_000_000
MOST_INPUTS = 1024
# How often is looked whether others want the cores.
LOOK_SECONDS = 2.0
# Of waiting for a thread that is told to stop.
STOP_SECONDS = 10.0


@dataclass(eq=False)
class Turn:
    """What runs together: jobs of one model, each with the indices of its inputs in this batch."""

    parts: list[tuple[Job, Sequence[int]]]
    small: bool
    threads: int

    @property
    def model(self) -> Model:
        return self.parts[0][0].model


class Runner:
    """Starts its threads with the jobs that they are for."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._small: deque[Job] = deque()
        self._large: deque[Job] = deque()
        # Guards all that is here but the paces.
        self._changed = threading.Condition()
        self._lanes: list[threading.Thread] = []
        # By the thread that is at it.
        self._running: dict[int, Turn] = {}
        self._stopped = False
        self._in_a_row = self._large_turns = 0
        self._crowded, self._looked_at = False, 0.0
        self._waiting_inputs = self._waiting_tokens = 0
        self._paces: WeakKeyDictionary[Model, Pace] = WeakKeyDictionary()

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
            while len(self._lanes) < (device.lanes() if large else 1):
                name = f"embedding-{len(self._lanes) + 1}"
                self._lanes.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._lanes[-1].start()
            self._changed.notify_all()

    def uses(self, model: Model) -> bool:
        """Whether a job of this model waits or runs, or a thread still holds one that ran."""
        with self._changed:
            models = [job.model for job in (*self._small, *self._large)]
            return any(each is model for each in (*models, *(turn.model for turn in self._running.values())))

    def give_up(self, job: Job) -> None:
        """Nobody waits for this job: what of it has not begun will not, and makes room for others at once."""
        with self._changed:
            if job in self._small:
                self._small.remove(job)
        self._drop(job, EmbeddingError("Nobody waits for it any more."))

    def stop(self) -> None:
        """Finish what is small; end what is large with an error."""
        with self._changed:
            self._stopped = True
            gone = list(self._large)
            self._changed.notify_all()
        for job in gone:
            self._drop(job, ModelUnavailable(job.model.name, "the worker is stopping"))
        for lane in self._lanes:
            lane.join(timeout=STOP_SECONDS)

    def _work(self) -> None:
        while self._work_once():
            with self._changed:
                del self._running[threading.get_ident()]
                self._changed.notify_all()

    def _work_once(self) -> bool:
        """Wait for a turn, and run it; False when there will be none.

        A function of its own: a thread that waits holds nothing of the turn before, and so no model that was let go.
        The turn counts as running until it has returned.
        """
        with self._changed:
            while (turn := self._next()) is None:
                if self._stopped:
                    return False
                self._changed.wait()
            self._running[threading.get_ident()] = turn
        self._run(turn)
        return True

    # --- Whose turn it is; under the lock -----------------------------------------------------------------------

    def _next(self) -> Turn | None:
        """What this thread is to run now."""
        small = bool(self._small) and not any(turn.small for turn in self._running.values())
        large = bool(self._large) and not self._stopped and self._has_lane()
        if small and not (large and self._in_a_row >= PATIENCE):
            self._in_a_row += 1
            return self._gather()
        return self._part_of_large() if large else None

    def _has_lane(self) -> bool:
        """Whether a batch of a large call may begin: one at a time while others want the cores."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at, self._crowded = time.monotonic(), device.is_crowded()
        return not (self._crowded and any(not turn.small for turn in self._running.values()))

    def _threads(self) -> int:
        """How many threads of torch a turn takes."""
        alone = not self._running and not self._large
        return device.threads(alone=alone and not self._crowded)

    def _part_of_large(self) -> Turn:
        self._in_a_row = 0
        self._large_turns += 1
        # In the queue they stand by how long each had no turn.
        job = self._large[0] if self._large_turns % ROTATION == 0 else min(self._large, key=lambda each: each.left)
        self._large.remove(job)
        budget = self._pace(job.model).tokens(device.threads(alone=False))
        end = batches.end_of_batch(job.order, job.at, job.lengths, budget, MOST_INPUTS)
        part = job.order[job.at : end]
        self._take(job, part)
        if job.left:
            self._large.append(job)
        return Turn([(job, part)], small=False, threads=self._threads())

    def _gather(self) -> Turn:
        """The oldest small job and those of the same model that fit beside it."""
        threads = self._threads()
        model, budget = self._small[0].model, self._pace(self._small[0].model).tokens(threads)
        taken: list[tuple[Job, Sequence[int]]] = []
        others: deque[Job] = deque()
        count = longest = 0
        while self._small:
            job = self._small.popleft()
            longer = max(longest, max(job.lengths, default=1))
            fits = (count + len(job.inputs)) * longer <= budget and count + len(job.inputs) <= MOST_INPUTS
            if job.model is model and (fits or not taken):
                taken.append((job, job.order))
                self._take(job, job.order)
                count, longest = count + len(job.inputs), longer
            else:
                others.append(job)
        self._small = others
        return Turn(taken, small=True, threads=threads)

    def _take(self, job: Job, part: Sequence[int]) -> None:
        job.at += len(part)
        self._waiting_inputs -= len(part)
        self._waiting_tokens -= sum(job.lengths[index] for index in part)

    # --- What becomes of a turn ---------------------------------------------------------------------------------

    def _pace(self, model: Model) -> Pace:
        return self._paces.setdefault(model, Pace(model))

    def _run(self, turn: Turn) -> None:
        """Run what stands together. Raises nothing: what fails is told to those whom it concerns."""
        turn = replace(turn, parts=[(job, part) for job, part in turn.parts if not job.ended])
        if not turn.parts:
            return
        made = self._made(turn)
        if isinstance(made, torch.Tensor):
            start = 0
            for job, part in turn.parts:
                self._deliver(job, part, made[start : start + len(part)])
                start += len(part)
        elif len(turn.parts) == 1:
            self._drop(turn.parts[0][0], made)
        else:  # whose input it was shows when each runs alone
            for each in turn.parts:
                self._run(replace(turn, parts=[each]))

    def _made(self, turn: Turn) -> torch.Tensor | EmbeddingError:
        """The rows of a turn, or why there are none: without a traceback, which would keep the batch and the model."""
        inputs = [job.inputs[index] for job, part in turn.parts for index in part]
        lengths = [job.lengths[index] for job, part in turn.parts for index in part]
        try:
            return self._rows(turn, inputs, lengths)
        except EmbeddingError as error:
            return error.with_traceback(None)
        except Exception as error:
            logger.exception("%s failed on a batch of %d", turn.model.name, len(inputs))
            if device.is_lost(error):
                # All that this process would do from now on fails; whoever keeps it running starts another one.
                logger.critical("the device is lost to this process, which ends")
                os.kill(os.getpid(), signal.SIGTERM)
            return ModelUnavailable(turn.model.name, f"it failed with {type(error).__name__}")

    def _deliver(self, job: Job, part: Sequence[int], rows: torch.Tensor) -> None:
        if job.ended:
            return
        try:
            job.on_rows(part, rows)
        except EmbeddingError as error:
            self._drop(job, error.with_traceback(None))
            return
        except Exception as error:  # this thread must go on
            logger.exception("vectors of %s could not be handed over", job.model.name)
            self._drop(job, ModelUnavailable(job.model.name, f"it failed with {type(error).__name__}"))
            return
        with self._changed:
            job.made += len(part)
        if job.made == len(job.order):
            self._end(job, None)

    def _drop(self, job: Job, error: Exception) -> None:
        """End a job with an error, and forget what is left of it."""
        with self._changed:
            if job in self._large:
                self._large.remove(job)
            self._take(job, job.order[job.at :])
        self._end(job, error)

    def _end(self, job: Job, error: Exception | None) -> None:
        with self._changed:
            if job.ended:
                return
            job.ended = True
        try:
            job.on_end(error)
        except Exception:  # a caller's loop that is gone must not end this thread
            logger.exception("an embedding's caller could not be told")

    def _rows(self, turn: Turn, inputs: list[Any], lengths: list[int]) -> torch.Tensor:
        """The batch's rows; in halves when memory is short. Raises ModelUnavailable when one input is too much."""
        model = turn.model
        if model.device.type == "cpu" and torch.get_num_threads() != turn.threads:
            torch.set_num_threads(turn.threads)  # of this thread alone
        # What one thread does is its own time; of several the process's is the nearest that can be had.
        clock = time.thread_time if turn.threads == 1 else time.process_time
        cost, began, worked = len(inputs) * max(lengths, default=1), time.monotonic(), clock()
        try:
            rows = model.run(inputs)
        except Exception as error:
            if not device.is_out_of_memory(error):
                raise
        else:
            self._pace(model).took(cost, clock() - worked)
            with self._changed:
                self.stats.batches += 1
                self.stats.inputs += len(inputs)
                self.stats.tokens += sum(lengths)
                self.stats.seconds += time.monotonic() - began
            return rows
        # Outside of `except`: the error's traceback would keep the batch's tensors alive.
        device.release(model.device)
        if len(inputs) == 1:
            raise ModelUnavailable(model.name, "the device has too little memory for one input")
        self._pace(model).was_too_much(cost)
        with self._changed:
            self.stats.halved += 1
        middle = len(inputs) // 2
        halves = ((inputs[:middle], lengths[:middle]), (inputs[middle:], lengths[middle:]))
        return torch.cat([self._rows(turn, *half) for half in halves])
