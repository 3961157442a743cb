"""The engine under many calls: who runs with whom and when, what is bounded, and who is no longer worked for."""

import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from rag.embedding.engine import Engine, device, runner
from rag.embedding.errors import EmbeddingError, ModelUnavailable, Overloaded
from tests.rag.engines import embedded, eventually, model_of


def test_a_query_waits_for_one_batch_of_a_bulk_at_most(engine: Engine) -> None:
    model = model_of(engine)
    plain, order = model.run, []

    def slow(inputs: Sequence[Any]) -> torch.Tensor:
        order.append(len(inputs))
        time.sleep(0.05)
        rows: torch.Tensor = plain(inputs)
        return rows

    model.run = slow
    bulk = engine.encode_documents(["key " * 60] * 300)
    thread = threading.Thread(target=lambda: list(bulk))
    thread.start()
    while not order:
        time.sleep(0.005)
    at = len(order)
    embedded(engine, ["paris"])
    assert 1 in order[at : at + 2]
    thread.join(60)


def test_those_who_come_while_a_batch_runs_share_the_next(engine: Engine) -> None:
    model = model_of(engine)
    plain, sizes, go = model.run, [], threading.Event()

    def waiting(inputs: Sequence[Any]) -> torch.Tensor:
        sizes.append(len(inputs))
        go.wait(10)
        rows: torch.Tensor = plain(inputs)
        return rows

    model.run = waiting
    calls = [engine.embed(["paris"])]
    while not sizes:
        time.sleep(0.001)
    calls += [engine.embed(["france"]) for _ in range(15)]
    go.set()
    for call in calls:
        call.result.result(10)
    assert sizes == [1, 15]


def turns_of_large_calls(engine: Engine, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]) -> list[str]:
    """Whose batches of four ran, in order; each call is of so many texts of its one word, and all come at once."""
    monkeypatch.setattr(runner, "MOST_INPUTS", 4)
    model = model_of(engine)
    words = {tuple(model.prepare([word], "query", truncate=False)[0].ids): word for word in sizes}
    plain, order, begun, go = model.run, [], threading.Event(), threading.Event()

    def noting(inputs: Sequence[Any]) -> torch.Tensor:
        begun.set()
        go.wait(10)
        order.append(words.get(tuple(inputs[0].ids), "first"))
        rows: torch.Tensor = plain(inputs)
        return rows

    model.run = noting
    calls = [engine.embed(["answer"])]
    begun.wait(10)
    calls += [engine.embed([word] * size) for word, size in sizes.items()]
    go.set()
    for call in calls:
        call.result.result(30)
    return order[1:]


def test_large_calls_end_one_after_the_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = turns_of_large_calls(engine, monkeypatch, {"paris": 100, "france": 100})

    left = len(turns) - 1 - turns[::-1].index("paris" if turns[-1] == "france" else "france")
    assert len(turns) == 50
    assert left <= 35


def test_a_large_call_gets_its_turns_while_shorter_ones_come(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = turns_of_large_calls(engine, monkeypatch, {"capital": 400, "paris": 100, "france": 100})

    first = turns[:60]
    assert first.count("capital") >= 10
    assert set(turns[-60:]) == {"capital"}


def test_what_waits_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(engine)
    plain, go = model.run, threading.Event()

    begun = threading.Event()

    def waiting(inputs: Sequence[Any]) -> torch.Tensor:
        begun.set()
        go.wait(10)
        rows: torch.Tensor = plain(inputs)
        return rows

    model.run = waiting
    monkeypatch.setattr("rag.embedding.engine.runner.MOST_WAITING", 4)
    calls = [engine.embed(["paris"])]
    begun.wait(10)
    calls += [engine.embed(["paris"]) for _ in range(4)]
    with pytest.raises(Overloaded):
        engine.embed(["paris"])
    go.set()
    for call in calls:
        call.result.result(10)
    assert engine.stats()["waiting"] == 0


def test_a_bulk_that_nobody_reads_any_more_ends(engine: Engine) -> None:
    bulk = engine.encode_documents(["key " * 60] * 3000)
    next(bulk)
    bulk.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 20
    while engine.stats()["waiting"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Held:
    """A model's `run` that waits until `go` is set; `sizes` are those of its batches."""

    def __init__(self, run: Any) -> None:
        self.run, self.go, self.begun = run, threading.Event(), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, inputs: Sequence[Any]) -> torch.Tensor:
        self.sizes.append(len(inputs))
        self.begun.set()
        self.go.wait(10)
        rows: torch.Tensor = self.run(inputs)
        return rows


@pytest.fixture
def held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Held:
    """The text model, which is at work on one text, in the only lane: all that comes meanwhile waits."""
    monkeypatch.setattr(device, "lanes", lambda: 1)
    model = model_of(engine)
    made = model.run = Held(model.run)
    engine.embed(["paris"])
    assert made.begun.wait(10)
    return made


def test_who_leaves_makes_room_for_others_at_once(engine: Engine, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_WAITING", 200)
    left = [engine.embed(["france"]), engine.embed(["key " * 60] * 199)]
    with pytest.raises(Overloaded):
        engine.embed(["paris"])
    for call in left:
        call.cancel()
        call.cancel()
    assert engine.stats()["waiting"] == 0
    stays = engine.embed(["city"])
    held.go.set()
    assert len(stays.result.result(10).vectors) == 1
    for call in left:
        with pytest.raises(EmbeddingError, match="Nobody"):
            call.result.result(10)
    assert held.sizes == [1, 1]


def test_who_leaves_in_the_midst_of_a_large_call_ends_it_once(engine: Engine, held: Held) -> None:
    large = engine.embed(["key " * 60] * 2000)
    held.go.set()
    eventually(lambda: len(held.sizes) > 2)
    large.cancel()
    with pytest.raises(EmbeddingError, match="Nobody"):
        large.result.result(10)
    embedded(engine, ["paris"])
    assert engine.stats()["waiting"] == 0
    assert sum(held.sizes) < 2000


def test_an_input_that_breaks_the_model_fails_alone(engine: Engine, held: Held) -> None:
    plain = held.run
    poison = tuple(model_of(engine).prepare(["red"], "query", truncate=False)[0].ids)

    def breaking(inputs: Sequence[Any]) -> torch.Tensor:
        if any(tuple(each.ids) == poison for each in inputs):
            raise IndexError("index out of range in self")
        rows: torch.Tensor = plain(inputs)
        return rows

    held.run = breaking
    calls = [engine.embed([text]) for text in ("paris", "red", "france")]
    held.go.set()
    for at in (0, 2):
        assert len(calls[at].result.result(10).vectors) == 1
    with pytest.raises(ModelUnavailable, match="IndexError"):
        calls[1].result.result(10)
    assert held.sizes == [1, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("message", "ends"), [("CUDA error: device-side assert triggered", True), ("CUDA error: out of memory", False)]
)
def test_a_process_that_lost_its_device_ends(engine: Engine, message: str, *, ends: bool) -> None:
    """As what runs it starts another one, which has a device."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))

    def lost(_: Sequence[Any]) -> torch.Tensor:
        raise torch.AcceleratorError(message)

    model_of(engine).run = lost
    try:
        with pytest.raises(ModelUnavailable):
            embedded(engine, ["paris"])
        time.sleep(0)  # Python hears of a signal between two steps
        assert bool(told) is ends
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_cannot_be_handed_over_does_not_end_the_thread(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(engine)

    def broken(*_: object) -> list[bytes]:
        raise MemoryError

    monkeypatch.setattr(model, "finish", broken)
    with pytest.raises(ModelUnavailable, match="MemoryError"):
        embedded(engine, ["paris"])
    monkeypatch.undo()
    assert len(embedded(engine, ["paris"]).vectors) == 1


def test_a_stop_ends_what_is_large_with_an_error_and_finishes_what_is_small(engine: Engine, held: Held) -> None:
    small, large = engine.embed(["france"]), engine.embed(["key " * 60] * 2000)
    threading.Timer(0.2, held.go.set).start()
    engine.stop()
    assert len(small.result.result(10).vectors) == 1
    with pytest.raises(ModelUnavailable, match="stopping"):
        large.result.result(10)
    with pytest.raises(ModelUnavailable, match="stopping"):
        engine.embed(["paris"])
