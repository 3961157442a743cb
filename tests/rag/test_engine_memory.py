"""Models in memory: given back when nobody uses them, making room for each other, short of it, or not to be loaded."""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_django.fixtures import Settings

from rag.embedding.engine import Engine, memory
from rag.embedding.engine.core import Call
from rag.embedding.errors import ModelUnavailable, TooLong, UnknownModel
from tests.rag.engines import cosine, embedded, eventually, model_of, picture, sound


class Short:
    """A model's `run` on a device whose memory holds so many inputs."""

    def __init__(self, run: Any, most: int) -> None:
        self.run, self.most = run, most
        self.sizes: list[int] = []

    def __call__(self, inputs: Sequence[Any]) -> torch.Tensor:
        self.sizes.append(len(inputs))
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        rows: torch.Tensor = self.run(inputs)
        return rows


def test_out_of_memory_halves_the_batch_and_goes_on(engine: Engine) -> None:
    model = model_of(engine)
    texts = [f"answer {number}" for number in range(40)]
    expected = embedded(engine, texts).vectors
    short = model.run = Short(model.run, most=6)
    assert all(cosine(a, b) > 0.9999 for a, b in zip(embedded(engine, texts).vectors, expected, strict=True))
    assert max(short.sizes) > 6
    assert engine.stats()["halved"] > 0
    model.run = Short(short.run, most=0)
    with pytest.raises(ModelUnavailable, match="memory"):
        embedded(engine, texts[:3])


# One of every kind, by its name in `tiny_models`.
KINDS: dict[str, Callable[[Engine], Call]] = {
    "text": lambda engine: engine.embed(["paris"]),
    "rerank": lambda engine: engine.rerank("paris", ["the capital of france"]),
    "siglip": lambda engine: engine.embed_media([picture((200, 0, 0))], "image"),
    "clap": lambda engine: engine.embed_media([sound(0.3, 440)], "audio"),
}


class Parameters:
    """A loaded model's parameters, which this does not keep in memory."""

    def __init__(self, engine: Engine, name: str) -> None:
        module = engine.memory.loaded()[name].model._model
        self._parts = [weakref.ref(each) for each in module.parameters()]
        assert self._parts

    @property
    def in_memory(self) -> int:
        return sum(each() is not None for each in self._parts)


def idle(engine: Engine, name: str) -> None:
    """Nobody asked for this model for longer than settings.EMBEDDING_IDLE_SECONDS, here a minute."""
    eventually(lambda: not engine._runs(engine.memory.loaded()[name].model))
    engine.memory.loaded()[name].used -= 61
    engine.memory.unload_idle()


@pytest.fixture(autouse=True)
def _a_minute(settings: Settings) -> None:
    settings.EMBEDDING_IDLE_SECONDS = 60


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize("name", KINDS)
def test_an_idle_model_gives_its_memory_back_and_returns_when_asked(engine: Engine, name: str, beside: bool) -> None:
    KINDS[name](engine).result.result(60)
    parameters = Parameters(engine, name)
    if beside:
        embedded(engine, ["paris"], model="other")
    engine.memory.unload_idle()
    assert engine.stats()["loaded"] == sorted({name, "other"} if beside else {name})
    assert parameters.in_memory

    idle(engine, name)

    assert engine.stats()["loaded"] == (["other"] if beside else [])
    assert parameters.in_memory == 0
    assert len(KINDS[name](engine).result.result(60).vectors) == 1


def test_memory_is_given_back_after_refusals_and_failures_too(engine: Engine) -> None:
    model = model_of(engine)
    short = model.run = Short(model.run, most=0)
    with pytest.raises(ModelUnavailable, match="memory"):
        embedded(engine, ["paris"])
    model.run = short.run
    with pytest.raises(TooLong):
        embedded(engine, ["key " * 500])
    parameters = Parameters(engine, "text")
    del model, short

    idle(engine, "text")

    assert parameters.in_memory == 0


def test_what_is_in_use_is_not_let_go(engine: Engine) -> None:
    bulk = engine.encode_documents(["key " * 60] * 300)
    next(bulk)
    eventually(lambda: engine.stats()["waiting"] == 0)
    idle(engine, "text")
    assert engine.stats()["loaded"] == ["text"]
    list(bulk)
    idle(engine, "text")
    assert engine.stats()["loaded"] == []


def test_a_model_is_not_let_go_between_the_question_whether_it_is_there_and_the_call(engine: Engine) -> None:
    embedded(engine, ["paris"])
    engine.memory.loaded()["text"].used -= 61
    assert engine.ready("text")
    engine.memory.unload_idle()
    assert engine.stats()["loaded"] == ["text"]


def test_calls_go_on_while_models_come_and_go(engine: Engine) -> None:
    """Whatever is let go under a call's feet is there again when it needs it."""
    stop, failures = threading.Event(), []

    def ask(name: str) -> None:
        while not stop.is_set():
            try:
                assert len(embedded(engine, ["paris", "key " * 30], model=name).vectors) == 2
            except Exception as error:  # noqa: BLE001  (told to the test)
                failures.append(error)
                return

    threads = [threading.Thread(target=ask, args=[name]) for name in ("text", "other", "text")]
    for thread in threads:
        thread.start()
    gone = 0
    while gone < 5 and not failures:
        gone += sum(engine.memory.unload(name) for name in ("text", "other"))
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_a_model_that_does_not_fit_lets_others_go_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded(engine, ["paris"])
    eventually(lambda: not engine._runs(engine.memory.loaded()["text"].model))
    free = [0]
    monkeypatch.setattr("rag.embedding.engine.device.free_bytes", lambda device: free[0])
    monkeypatch.setattr("rag.embedding.engine.device.give_back", lambda device: free.__setitem__(0, 10**12))
    embedded(engine, ["paris"], model="other")
    assert engine.stats()["loaded"] == ["other"]
    free[0] = 0
    monkeypatch.setattr("rag.embedding.engine.device.give_back", lambda device: None)
    with pytest.raises(ModelUnavailable, match="memory"):
        embedded(engine, ["paris"], model="text")


def test_a_model_that_was_never_asked_makes_room_too(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with documents loads its text model before anybody asks it for vectors."""
    engine.describe()
    free = [0]
    monkeypatch.setattr("rag.embedding.engine.device.free_bytes", lambda device: free[0])
    monkeypatch.setattr("rag.embedding.engine.device.give_back", lambda device: free.__setitem__(0, 10**12))
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(engine.describe("other").id), daemon=True)
    thread.start()
    thread.join(30)
    assert found == ["other"]
    assert engine.stats()["loaded"] == ["other"]


def test_what_a_model_needs_is_counted_in_the_numbers_it_is_used_in(
    engine: Engine, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of 16 bits weigh twice as much where a CPU computes in 32."""
    from safetensors.torch import load_file, save_file

    from rag.embedding.catalog import card
    from rag.embedding.engine.weights import find

    file = copied("half") / "model.safetensors"
    save_file({name: each.half() for name, each in load_file(file).items()}, file, {"format": "pt"})
    whole, half = find(card("text")), find(card("half"))
    assert whole is not None
    assert half is not None
    assert half.numbers() == whole.numbers() > 20_000
    needed = half.numbers() * 4
    for free, fits in ((needed, False), (2 * needed, True)):
        monkeypatch.setattr("rag.embedding.engine.device.free_bytes", lambda device, free=free: free)
        if fits:
            assert engine.describe("half").loaded
        else:
            with pytest.raises(ModelUnavailable, match="memory"):
                engine.describe("half")


def test_weights_that_cannot_be_loaded_are_not_read_for_every_call(
    engine: Engine, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = copied("broken") / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    read: list[str] = []
    maker = memory._maker

    def counting(modality: Any) -> Any:
        read.append(modality)
        return maker(modality)

    monkeypatch.setattr(memory, "_maker", counting)
    words = []
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="could not be loaded") as refusal:
            engine.embed(["paris"], model="broken")
        assert refusal.value.retriable
        words.append(str(refusal.value))
    assert len(read) == 1
    assert len(set(words)) == 1
    monkeypatch.setattr(memory, "FAILED_SECONDS", 0)
    with pytest.raises(ModelUnavailable):
        engine.embed(["paris"], model="broken")
    assert len(read) == 2
    monkeypatch.undo()
    file.write_bytes(whole)
    engine.chooser._chosen.clear()
    assert len(embedded(engine, ["paris"], model="broken").vectors) == 1


def test_a_model_asked_for_as_what_it_is_not_is_none_the_worse(engine: Engine, settings: Settings) -> None:
    with pytest.raises(UnknownModel, match="clap is no image model"):
        engine.embed_media([picture((200, 0, 0))], "image", model="clap").result.result(30)
    with pytest.raises(UnknownModel, match="siglip is no reranking model"):
        engine.rerank("paris", ["france"], model="siglip").result.result(30)
    # A folder that no variable names: only loading it tells.
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        engine.embed_media([picture((200, 0, 0))], "image", model="other").result.result(30)
    assert embedded(engine, ["paris"], model="other").vectors
    assert engine.embed_media([sound(0.3, 440)], "audio").result.result(30).vectors
