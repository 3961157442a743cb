"""What the embedding service holds for clients is bounded and ends with them, and none waits for another's model."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rag.embedding import service, wire
from rag.embedding.client import Embedder
from rag.embedding.engine import Engine, memory
from rag.embedding.errors import BadInput, EmbedderAway, EmbeddingError, Overloaded
from rag.embedding.service import Service
from tests.rag.engines import eventually, model_of, picture

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def serving(engine: Engine, tmp_path: Path) -> Iterator[Service]:
    interval = sys.getswitchinterval()
    made = Service(str(tmp_path / "run" / "embed.sock"), engine)
    made.start()
    yield made
    made.stop()
    sys.setswitchinterval(interval)


@pytest.fixture
def client(serving: Service) -> Embedder:
    return Embedder(serving.path)


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Models are loaded when this is set, and not before."""
    go, maker = threading.Event(), memory._maker

    def waiting(modality: Any) -> Callable[..., Any]:
        go.wait(30)
        return maker(modality)

    monkeypatch.setattr(memory, "_maker", waiting)
    yield go
    go.set()


@pytest.fixture
def running(engine: Engine) -> Iterator[threading.Event]:
    """The text model is loaded, and runs when this is set, and not before."""
    model, go = model_of(engine), threading.Event()
    plain = model.run

    def waiting(inputs: Sequence[Any]) -> torch.Tensor:
        go.wait(30)
        rows: torch.Tensor = plain(inputs)
        return rows

    model.run = waiting
    yield go
    go.set()


def held(serving: Service) -> int:
    return sum(len(connection.requests) for connection in serving.connections)


async def until(holds: Callable[[], object]) -> None:
    await asyncio.to_thread(eventually, holds)


@pytest.mark.parametrize("leave", ["cancel", "hang up"])
async def test_who_leaves_while_a_model_is_loaded_is_not_worked_for(
    serving: Service, client: Embedder, loading: threading.Event, leave: str
) -> None:
    """Three calls: two have a thread and wait for the model, one waits for a thread."""
    texts = ["key " * 60] * 1500
    calls = [asyncio.ensure_future(client.embed(texts, model="text")) for _ in range(3)]
    await until(lambda: held(serving) == 3)
    if leave == "cancel":
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        # Those words have come when an answer to later ones is here.
        await asyncio.to_thread(client.stats_sync, timeout=20)
        await client.models()
    else:
        (await client._link()).close()
        assert all(isinstance(each, EmbedderAway) for each in await asyncio.gather(*calls, return_exceptions=True))
        await until(lambda: not serving.connections)
    loading.set()
    assert len((await client.embed(["france"], model="text")).vectors) == 1
    await until(lambda: held(serving) == 0)
    assert serving.engine.stats()["inputs"] < len(texts)


async def test_a_model_that_is_being_loaded_holds_up_no_other(
    serving: Service, client: Embedder, loading: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading.set()
    await client.embed(["paris"], model="other")
    loading.clear()
    waiting = [asyncio.ensure_future(client.embed_image([picture((9, 9, 9))])) for _ in range(8)]
    await until(lambda: held(serving) == 8)
    long = ["the capital of france " * 10] * 100
    assert sum(map(len, long)) > service.AT_ONCE
    assert len((await client.embed(long, model="other", timeout=20)).vectors) == 100
    assert {state.id for state in await client.models(timeout=20) if state.loaded} == {"other"}
    loading.set()
    assert all(len(made.vectors) == 1 for made in await asyncio.gather(*waiting))


async def test_what_is_held_is_bounded_in_bytes(
    serving: Service, client: Embedder, running: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_BYTES", 5000)
    texts = ["paris is a city. " * 3] * 60
    first = asyncio.ensure_future(client.embed(texts, model="text"))
    await until(lambda: held(serving) == 1)
    with pytest.raises(Overloaded):
        await client.embed(texts, model="text")
    running.set()
    assert len((await first).vectors) == 60
    assert len((await client.embed(texts, model="text")).vectors) == 60
    assert serving.held == 0


def test_who_does_not_read_its_answers_is_not_read_from(serving: Service, client: Embedder) -> None:
    client.embed_sync(["paris"])
    asked = 400
    header = {"op": "embed", "texts": ["paris"] * 60, "model": "text", "role": "query", "truncate": False}
    header |= {"dimensions": None, "normalize": True, "padding": "x" * 30_000}
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(serving.path)
        eventually(lambda: len(serving.connections) == 2)
        frames = b"".join(wire.encode({**header, "id": number}) for number in range(1, asked + 1))
        sending = threading.Thread(target=lazy.sendall, args=[frames], daemon=True)
        sending.start()
        sending.join(3)
        assert sending.is_alive()
        waiting = max(each._transport.get_write_buffer_size() for each in serving.connections if each._transport)
        assert waiting < 1_000_000
        lazy.settimeout(30)
        reader, answers = wire.Reader(), set[int]()
        while len(answers) < asked:
            answers |= {answer["id"] for answer, _ in reader.feed(lazy.recv(1 << 20))}
        sending.join(30)
        assert not sending.is_alive()


async def test_an_answer_that_is_too_large_is_an_error(
    serving: Service, client: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.embed(["paris"])
    monkeypatch.setattr(wire, "MAX_FRAME", 4000)
    with pytest.raises(BadInput, match="bytes"):
        await client.embed(["paris"] * 60, timeout=20)
    assert len((await client.embed(["paris"] * 5, timeout=20)).vectors) == 5


async def test_a_model_that_fails_to_load_says_so_to_all_who_wait_for_it(
    serving: Service, client: Embedder, copied: Callable[[str], Path]
) -> None:
    (copied("broken") / "model.safetensors").write_bytes(b"no weights")
    calls = [client.embed(["paris"], model="broken") for _ in range(6)]
    for refused in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(refused, EmbeddingError)
        assert str(refused).startswith("broken cannot be used: its weights could not be loaded (")
    assert len((await client.embed(["paris"])).vectors) == 1
