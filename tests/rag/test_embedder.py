"""The embedding worker as other processes meet it: a socket, a client, and what happens when the worker is gone."""

import asyncio
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from rag.embedding import wire
from rag.embedding.client import Embedder
from rag.embedding.errors import BadDimensions, BadInput, EmbedderAway, TooLong, UnknownModel
from rag.embedding.vectors import floats
from tests.rag.embedder import EmbedderProcess

pytestmark = pytest.mark.timeout(300)


def similarity(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(floats(one), floats(other), strict=True))


async def test_what_means_the_same_is_near(embedder: EmbedderProcess) -> None:
    question, near, far = (
        "How do I reset my password?",
        "I forgot my password and need a new one.",
        "The train to Bern leaves at nine.",
    )
    made = await embedder.client.embed([question, near, far])
    assert (made.model, made.dimension, len(made.vectors)) == ("all-MiniLM-L6-v2", 384, 3)
    assert made.revision
    assert similarity(made.vectors[0], made.vectors[1]) > 0.6 > 0.2 > similarity(made.vectors[0], made.vectors[2])


def test_threads_get_the_same_vectors(embedder: EmbedderProcess) -> None:
    threads = embedder.client.embed_sync(["a gateway"])
    tasks = asyncio.run(embedder.client.embed(["a gateway"]))
    assert similarity(threads.vectors[0], tasks.vectors[0]) == pytest.approx(1, abs=1e-5)


async def test_many_at_once_over_one_connection_each_get_their_own(embedder: EmbedderProcess) -> None:
    texts = [f"number {n}" for n in range(40)]
    alone = (await embedder.client.embed(texts)).vectors
    at_once = await asyncio.gather(*(embedder.client.embed([text]) for text in texts))
    for expected, made in zip(alone, at_once, strict=True):
        assert similarity(expected, made.vectors[0]) == pytest.approx(1, abs=1e-4)


async def test_refusals_come_back_as_they_are(embedder: EmbedderProcess) -> None:
    with pytest.raises(TooLong) as refusal:
        await embedder.client.embed(["short", "word " * 400])
    assert (refusal.value.index, refusal.value.limit) == (1, 256)
    assert (await embedder.client.embed(["word " * 400], truncate=True)).tokens == [256]
    with pytest.raises(UnknownModel):
        await embedder.client.embed(["a"], model="nobody/knows-it")
    with pytest.raises(BadDimensions):
        await embedder.client.embed(["a"], dimensions=7)
    with pytest.raises(BadInput):
        await embedder.client.embed([[10**7]])
    with pytest.raises(UnknownModel):
        await embedder.client.rerank("a", ["b"])
    with pytest.raises(BadInput, match="bytes"):
        await embedder.client.embed(["x" * 2_000_000] * 40)
    with pytest.raises(BadInput, match="2048"):
        await embedder.client.embed(["x"] * 2049)


async def test_texts_of_every_kind(embedder: EmbedderProcess) -> None:
    texts = ["", "\ud800 lone", "עברית", "e\u0301", "\x00", "日本語", "👩‍👩‍👧"]
    assert len((await embedder.client.embed(texts)).vectors) == len(texts)


def test_the_models_list_tells_what_is_here(embedder: EmbedderProcess) -> None:
    embedder.client.embed_sync(["a"])
    models = {model.id: model for model in embedder.client.models_sync()}
    here = models["all-MiniLM-L6-v2"]
    assert (here.modality, here.dimensions, here.loaded, here.device, here.default) == (
        "text",
        [384],
        True,
        "cpu",
        True,
    )
    absent = models["google/siglip-so400m-patch14-384"]
    assert (absent.dimensions, absent.loaded, absent.available) == ([1152], False, False)
    assert absent.note


def test_nobody_else_may_connect(embedder: EmbedderProcess) -> None:
    assert stat.S_IMODE(os.stat(embedder.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(embedder.path)).st_mode) == 0o700


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", wire.LENGTHS.pack(2**31, 4), wire.LENGTHS.pack(4, 4) + b"[1] "]
)
def test_who_speaks_otherwise_is_cut_off_and_others_go_on(embedder: EmbedderProcess, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(embedder.path)
        stranger.settimeout(20)
        stranger.sendall(said)
        assert stranger.recv(100) == b""
    assert embedder.client.stats_sync()["waiting"] == 0


def test_unknown_operations_and_malformed_requests_are_answered(embedder: EmbedderProcess) -> None:
    for header in ({"op": "fly"}, {"op": "embed"}, {"op": "embed", "texts": 5, "model": ""}, {}):
        with pytest.raises(Exception) as refusal:  # noqa: PT011
            embedder.client._call_sync(header, b"", 20)
        assert not isinstance(refusal.value, EmbedderAway)


async def until_waiting(embedder: EmbedderProcess, wanted: bool) -> None:
    """Returns when something waits in the worker, or nothing does any more."""
    deadline = time.monotonic() + 60
    while bool((await asyncio.to_thread(embedder.client.stats_sync, timeout=20))["waiting"]) != wanted:
        assert time.monotonic() < deadline


async def test_a_caller_who_left_is_not_worked_for(embedder: EmbedderProcess) -> None:
    task = asyncio.ensure_future(embedder.client.embed(["word " * 200] * 2000))
    await until_waiting(embedder, True)
    task.cancel()
    await until_waiting(embedder, False)


async def test_a_worker_that_is_killed_is_away_at_once_and_comes_back(embedder: EmbedderProcess) -> None:
    embedder.client.embed_sync(["a"])
    waiting = [asyncio.ensure_future(embedder.client.embed(["word " * 200] * 500)) for _ in range(3)]
    await until_waiting(embedder, True)
    embedder.kill()
    for answer in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10):
        assert isinstance(answer, EmbedderAway)
    began = time.monotonic()
    with pytest.raises(EmbedderAway):
        await embedder.client.embed(["a"])
    with pytest.raises(EmbedderAway):
        embedder.client.embed_sync(["a"])
    assert time.monotonic() - began < 2
    embedder.start()  # the socket that the killed one left is in its way
    assert len((await embedder.client.embed(["a"])).vectors) == 1
    assert len(embedder.client.embed_sync(["a"]).vectors) == 1


def test_without_the_texts_models_weights_another_stands_in_and_says_so(tmp_path: Path) -> None:
    worker = EmbedderProcess(tmp_path, EMBEDDING_TEXT_MODEL="BAAI/bge-m3", HF_HOME=str(tmp_path / "hub"))
    worker.start()
    try:
        made = worker.client.embed_sync(["a question"])
        assert (made.model, made.dimension) == ("all-MiniLM-L6-v2", 384)
        models = {model.id: model for model in worker.client.models_sync()}
        assert models["all-MiniLM-L6-v2"].fallback_for == "BAAI/bge-m3"
        assert models["all-MiniLM-L6-v2"].default
        assert not models["BAAI/bge-m3"].available
        assert "instead of BAAI/bge-m3" in worker.log.read_text()
    finally:
        worker.stop()
    with pytest.raises(EmbedderAway):
        Embedder(worker.path).stats_sync()
