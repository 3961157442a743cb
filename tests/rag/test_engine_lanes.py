"""Batches of large calls run side by side on a CPU, each in a lane, and each call still has one end."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from rag.embedding.engine import device, runner
from rag.embedding.engine.jobs import Job
from rag.embedding.engine.runner import Runner
from rag.embedding.errors import BadVector, EmbeddingError, ModelUnavailable

TIMEOUT = 10.0


class Doubling:
    """A model whose row of a number is its double; `during` is called while a batch runs."""

    name, device, bytes_per_token = "doubling", torch.device("cpu"), 4

    def __init__(self, during: Callable[[Sequence[int]], None] = lambda inputs: None) -> None:
        self.during = during

    def run(self, inputs: Sequence[Any]) -> torch.Tensor:
        self.during(inputs)
        return torch.tensor([[2.0 * each] for each in inputs])


class Asked:
    """A call: its rows as they came, and its ends."""

    def __init__(self, model: Doubling, inputs: Sequence[int], length: int = 100) -> None:
        self.rows: dict[int, float] = {}
        self.ends: list[Exception | None] = []
        self.over = threading.Event()
        self.job = Job(model, inputs, [length] * len(inputs), self._keep, self._end)

    def _keep(self, indices: Sequence[int], rows: torch.Tensor) -> None:
        self.rows |= dict(zip(indices, rows[:, 0].tolist(), strict=True))

    def _end(self, error: Exception | None) -> None:
        self.ends.append(error)
        self.over.set()


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others on this machine do not make it a crowded one."""
    monkeypatch.setattr(device, "pressure", lambda: 0.0)
    monkeypatch.setattr(device, "_cores", lambda: 2)
    monkeypatch.setattr(runner, "MOST_INPUTS", 4)


@pytest.fixture
def lanes() -> Iterator[Runner]:
    running = Runner()
    yield running
    running.stop()


def test_a_large_call_has_a_batch_in_each_lane(lanes: Runner) -> None:
    together = threading.Barrier(2)

    def meet(inputs: Sequence[int]) -> None:
        together.wait(TIMEOUT)

    asked = Asked(Doubling(meet), range(32))

    lanes.submit(asked.job, large=True)

    assert asked.over.wait(TIMEOUT)
    assert asked.ends == [None]
    assert asked.rows == {number: 2.0 * number for number in range(32)}
    assert lanes.waiting == 0


def test_a_crowded_machine_has_one_batch_at_a_time(lanes: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "pressure", lambda: 0.9)
    at_work, most = [0], [0]

    def count(inputs: Sequence[int]) -> None:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.01)
        at_work[0] -= 1

    asked = Asked(Doubling(count), range(40))
    lanes.submit(asked.job, large=True)

    assert asked.over.wait(TIMEOUT)
    assert most == [1]


def test_what_is_alone_has_all_cores_and_what_shares_them_its_own(lanes: Runner) -> None:
    seen: list[int] = []
    model = Doubling(lambda inputs: seen.append(torch.get_num_threads()))

    alone = Asked(model, [1])
    lanes.submit(alone.job, large=False)
    assert alone.over.wait(TIMEOUT)
    assert seen == [2]

    seen.clear()
    shared = Asked(model, range(40))
    lanes.submit(shared.job, large=True)
    assert shared.over.wait(TIMEOUT)
    assert seen[0] == 1


def test_a_call_that_fails_in_one_lane_ends_once(lanes: Runner) -> None:
    together = threading.Barrier(2)

    def fail(inputs: Sequence[int]) -> None:
        together.wait(TIMEOUT)
        raise BadVector(inputs[0], "doubling")

    asked = Asked(Doubling(fail), range(8))
    lanes.submit(asked.job, large=True)
    assert asked.over.wait(TIMEOUT)

    after = Asked(Doubling(), [3])
    lanes.submit(after.job, large=False)
    assert after.over.wait(TIMEOUT)
    lanes.stop()
    assert [type(error) for error in asked.ends] == [BadVector]
    assert asked.rows == {}
    assert lanes.waiting == 0


def test_rows_that_are_refused_end_the_call_and_what_is_left_of_it_is_forgotten(lanes: Runner) -> None:
    asked = Asked(Doubling(), range(400))

    def refuse(indices: Sequence[int], rows: torch.Tensor) -> None:
        raise EmbeddingError("no")

    asked.job.on_rows = refuse
    lanes.submit(asked.job, large=True)

    assert asked.over.wait(TIMEOUT)
    lanes.stop()
    assert [str(error) for error in asked.ends] == ["no"]
    assert lanes.waiting == 0


def test_a_runner_that_stops_finishes_small_calls_and_ends_large_ones(lanes: Runner) -> None:
    begun, go = threading.Event(), threading.Event()

    def hold(inputs: Sequence[int]) -> None:
        begun.set()
        go.wait(TIMEOUT)

    large, small = Asked(Doubling(hold), range(400)), Asked(Doubling(), [7])
    lanes.submit(large.job, large=True)
    assert begun.wait(TIMEOUT)
    lanes.submit(small.job, large=False)
    threading.Timer(0.1, go.set).start()

    lanes.stop()

    assert small.rows == {0: 14.0}
    assert [type(error) for error in large.ends] == [ModelUnavailable]
    with pytest.raises(ModelUnavailable):
        lanes.submit(Asked(Doubling(), [1]).job, large=False)


@pytest.mark.parametrize(
    ("cores", "lanes", "threads"), [(1, 1, 1), (2, 2, 1), (6, 6, 1), (12, 6, 2), (16, 8, 2), (64, 8, 8)]
)
def test_lanes_leave_no_core_idle(monkeypatch: pytest.MonkeyPatch, cores: int, lanes: int, threads: int) -> None:
    monkeypatch.setattr(device, "_cores", lambda: cores)

    assert device.lanes() == lanes
    assert device.threads(alone=False) == threads
    assert device.threads(alone=True) == cores
