"""What the runner runs: the calls that wait for a model, and how much of one makes a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from rag.embedding.engine import batches, device

# A batch of a large call takes about so long on a CPU, and so small calls wait at most that.
BATCH_SECONDS = 0.2
FEWEST_TOKENS, MOST_TOKENS = 256, 131_072


class Model(Protocol):
    """What runs, on a CPU in several threads at once. `bytes_per_token`: what a batch needs beside the weights."""

    name: str
    device: torch.device
    bytes_per_token: int

    def run(self, inputs: Sequence[Any]) -> torch.Tensor:
        """A row of float32 on the CPU for each input."""


@dataclass(eq=False)
class Job:
    """The inputs of one call. `on_rows` is told of rows as they are made: (indices, rows); `on_end` once, at the end.

    Both are called by the runner's threads, `on_rows` for two batches at once, it may be; `on_end` also by who gives
    the job up.
    """

    model: Model
    inputs: Sequence[Any]
    lengths: Sequence[int]
    on_rows: Callable[[Sequence[int], torch.Tensor], None]
    on_end: Callable[[Exception | None], None]
    order: list[int] = field(init=False)
    # How many were taken into batches, and how many came back from one; both change under the runner's lock.
    at: int = 0
    made: int = 0
    ended: bool = False
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
    """How many tokens make a batch of a model: `BATCH_SECONDS` of a CPU's work, or what fits into a GPU's memory.

    Thread-safe: what is written at once by two threads is a mean that either may give.
    """

    def __init__(self, model: Model) -> None:
        # Not the model itself, which this must not keep in memory.
        self._device, self._bytes_per_token = model.device, model.bytes_per_token
        # A second of one core's time.
        self._per_second = 2000.0
        self._ceiling = MOST_TOKENS

    def tokens(self, threads: int) -> int:
        """For a batch that so many threads are at, each with a core."""
        wanted = self._ceiling
        if self._device.type == "cpu":
            wanted = min(wanted, int(self._per_second * threads * BATCH_SECONDS))
        else:
            # Half: other processes take memory, too, and torch's blocks are larger than what lies in them.
            room = device.free_bytes(self._device) // 2
            wanted = min(wanted, room // max(1, self._bytes_per_token))
        return max(FEWEST_TOKENS, wanted)

    def took(self, tokens: int, worked: float) -> None:
        """A batch of so many tokens, padding included, took so many seconds of cores.

        Of work, not by the clock: while others want the cores, smaller batches would only take longer in all.
        """
        if tokens >= FEWEST_TOKENS // 4:
            self._per_second += 0.2 * (tokens / max(worked, 1e-4) - self._per_second)
        self._ceiling = min(MOST_TOKENS, self._ceiling + self._ceiling // 64 + 1)

    def was_too_much(self, tokens: int) -> None:
        """A batch of so many tokens did not fit into memory."""
        self._ceiling = max(FEWEST_TOKENS, tokens // 2)
