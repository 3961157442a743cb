"""The engine on models of every kind: what comes out, what is refused, what happens when memory is short."""

import io
import math
import threading
import time
import wave
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from pytest_django.fixtures import Settings

from rag.embedding.engine import Engine, runner
from rag.embedding.engine.core import Made
from rag.embedding.errors import (
    BadDimensions,
    BadInput,
    BadVector,
    ModelUnavailable,
    Overloaded,
    TooLong,
    UnknownModel,
)
from rag.embedding.vectors import floats


@pytest.fixture
def engine(tiny_models: Path, settings: Settings) -> Iterator[Engine]:
    settings.MODELS_DIR = tiny_models
    settings.EMBEDDING_DEVICE = "cpu"
    settings.EMBEDDING_TEXT_MODEL = "text"
    settings.EMBEDDING_IMAGE_MODEL = "siglip"
    settings.EMBEDDING_AUDIO_MODEL = "clap"
    settings.EMBEDDING_RERANK_MODEL = "rerank"
    made = Engine()
    yield made
    made.stop()


def embedded(engine: Engine, texts: Sequence[str | Sequence[int]], **options: Any) -> Made:
    return engine.embed(texts, **options).result.result(30)


def cosine(one: bytes, other: bytes) -> float:
    a, b = floats(one), floats(other)
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


# --- Vectors ----------------------------------------------------------------------------------------


def test_vectors_are_those_of_sentence_transformers(engine: Engine, tiny_models: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["the capital of france", "a", "what is the answer to the question of the budget?"]
    raw = SentenceTransformer(str(tiny_models / "text"), device="cpu").encode(texts, normalize_embeddings=True)
    ours = embedded(engine, texts, role="document").vectors
    for expected, vector in zip(raw, ours, strict=True):
        assert list(floats(vector)) == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_text_alone_and_among_others_has_the_same_vector(engine: Engine) -> None:
    texts = ["paris", "the capital of france is paris, and how red is the green city?"]
    together = embedded(engine, texts).vectors
    for text, vector in zip(texts, together, strict=True):
        assert cosine(embedded(engine, [text]).vectors[0], vector) > 0.99999


def test_queries_get_the_models_own_prompt_and_count_it(engine: Engine) -> None:
    query, document = (embedded(engine, ["paris"], role=role) for role in ("query", "document"))
    assert query.tokens[0] == document.tokens[0] + 1
    assert embedded(engine, ["question paris"], role="document").vectors == query.vectors


def test_vectors_have_length_one_unless_it_is_not_wanted(engine: Engine) -> None:
    assert math.hypot(*floats(embedded(engine, ["paris"]).vectors[0])) == pytest.approx(1, abs=1e-5)
    assert math.hypot(*floats(embedded(engine, ["paris"], normalize=False).vectors[0])) != pytest.approx(1, abs=1e-3)


def test_two_models_stand_beside_each_other(engine: Engine) -> None:
    one, other = embedded(engine, ["paris"]), embedded(engine, ["paris"], model="other")
    assert (one.model, one.dimension, other.model, other.dimension) == ("text", 32, "other", 48)
    assert one.revision != other.revision


def test_nothing_is_nothing(engine: Engine) -> None:
    assert embedded(engine, []).vectors == []
    assert len(embedded(engine, [""]).vectors) == 1


def test_documents_come_back_under_their_numbers(engine: Engine) -> None:
    texts = [f"answer {number} of the gateway" + " key" * (number % 9) for number in range(2500)]
    found = {index: vector for done in engine.encode_documents(texts) for index, vector in zip(done.indices, done.vectors, strict=True)}  # fmt: skip # noqa: E501
    assert sorted(found) == list(range(2500))
    few = [0, 7, 1500, 2499]
    for index, vector in zip(few, embedded(engine, [texts[n] for n in few], role="document").vectors, strict=True):
        assert cosine(found[index], vector) > 0.9999


def test_token_offsets_are_those_of_characters(engine: Engine) -> None:
    text = "the é capital 日 of paris"
    words = [text[start:end] for start, end in engine.tokens(text)]
    assert words[0] == "the"
    assert words[-1] == "paris"


def test_matryoshka_vectors_are_cut_and_have_length_one_again(engine: Engine) -> None:
    from dataclasses import replace

    model = engine._get("", "text").model
    model.card = replace(model.card, matryoshka=(8,))
    long, short = embedded(engine, ["paris"]), embedded(engine, ["paris"], dimensions=8)
    assert short.dimension == 8
    assert math.hypot(*floats(short.vectors[0])) == pytest.approx(1, abs=1e-5)
    cut = array("f", floats(long.vectors[0])[:8])
    assert cosine(cut.tobytes(), short.vectors[0]) > 0.99999


# --- Input that is refused --------------------------------------------------------------------------


def test_over_long_input_is_named_with_its_length_or_cut_when_asked(engine: Engine) -> None:
    texts = ["paris", "key " * 500]
    with pytest.raises(TooLong) as refusal:
        embedded(engine, texts)
    assert (refusal.value.index, refusal.value.limit) == (1, 64)
    assert refusal.value.tokens > 500
    assert "key" not in str(refusal.value)
    assert embedded(engine, texts, truncate=True).tokens[1] == 64


def test_a_million_characters_are_counted_and_cut(engine: Engine) -> None:
    text = "key " * 250_000
    with pytest.raises(TooLong) as refusal:
        embedded(engine, [text])
    assert refusal.value.tokens > 250_000
    assert embedded(engine, [text], truncate=True).tokens == [64]


def test_token_arrays_are_the_models_own_ids(engine: Engine) -> None:
    ids = engine._get("", "text").model.tokens.plain("capital of france")
    as_text = embedded(engine, ["capital of france"], role="document").vectors
    assert embedded(engine, [ids], role="document").vectors == as_text
    for wrong in ([10**6], [-1], [True, "x"]):
        with pytest.raises(BadInput):
            embedded(engine, [wrong])  # type: ignore[list-item]


def test_a_length_that_the_model_does_not_have(engine: Engine) -> None:
    with pytest.raises(BadDimensions) as refusal:
        embedded(engine, ["a"], dimensions=16)
    assert refusal.value.allowed == [32]


@pytest.mark.parametrize("name", ["nobody/nothing", "../text", "/etc", "text/../../text", "rerank", "a b", "siglip"])
def test_names_that_are_no_model_or_not_to_be_looked_for(engine: Engine, name: str) -> None:
    with pytest.raises(UnknownModel):
        engine.embed(["a"], model=name)


def test_without_a_reranker_nothing_is_ranked(engine: Engine, settings: Settings) -> None:
    settings.EMBEDDING_RERANK_MODEL = ""
    with pytest.raises(UnknownModel):
        engine.rerank("a", ["b"])


def test_what_is_on_no_disk_and_large_is_not_fetched_for_anybody(engine: Engine) -> None:
    with pytest.raises(ModelUnavailable, match="operator"):
        engine.embed(["a"], model="Qwen/Qwen3-Embedding-8B")


def test_no_number_is_never_returned(engine: Engine) -> None:
    with pytest.raises(BadVector) as refusal:
        embedded(engine, ["paris", "france"], model="nan")
    assert refusal.value.index == 0
    assert "paris" not in str(refusal.value)
    with pytest.raises(BadVector):
        list(engine.encode_documents(["paris", "france"], "nan"))


# --- Pictures, sounds, pairs ------------------------------------------------------------------------


def picture(color: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, color).save(data, "PNG")
    return data.getvalue()


def test_pictures(engine: Engine) -> None:
    red, again, green = (picture(c) for c in ((200, 0, 0), (200, 0, 0), (0, 200, 0)))
    made = engine.embed_media([red, again, green], "image").result.result(30)
    assert made.dimension == 32
    assert cosine(made.vectors[0], made.vectors[1]) > 0.9999 > cosine(made.vectors[0], made.vectors[2])


@pytest.mark.parametrize("data", [b"", b"no picture", picture((1, 2, 3))[:60]], ids=["empty", "text", "cut"])
def test_bytes_that_are_no_picture(engine: Engine, data: bytes) -> None:
    with pytest.raises(BadInput) as refusal:
        engine.embed_media([picture((1, 1, 1)), data], "image")
    assert refusal.value.index == 1


def test_a_picture_that_claims_too_many_pixels(engine: Engine) -> None:
    data = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(data, "PNG")
    with pytest.raises(BadInput, match="pixels"):
        engine.embed_media([data.getvalue()], "image")


def sound(seconds: float, hertz: float, rate: int = 16_000) -> bytes:
    samples = array("h", (int(8000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(int(seconds * rate))))
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return data.getvalue()


def test_sounds_of_any_rate_and_length_the_same_each_time(engine: Engine) -> None:
    files = [sound(0.5, 440), sound(0.5, 440), sound(12, 440), sound(0.5, 2000, rate=48_000)]
    made = engine.embed_media(files, "audio").result.result(60)
    again = engine.embed_media(files, "audio").result.result(60)
    assert made.dimension == 32
    assert cosine(made.vectors[0], made.vectors[1]) > 0.99999
    assert all(cosine(a, b) > 0.99999 for a, b in zip(made.vectors, again.vectors, strict=True))


def test_a_sound_of_many_channels_at_a_high_rate_is_refused_before_it_is_decoded(engine: Engine) -> None:
    claimed = io.BytesIO()
    silence = np.zeros((655_350, 8), dtype=np.int16)
    with soundfile.SoundFile(claimed, "w", 655_350, 8, "PCM_16", format="FLAC") as made:
        for _ in range(44):
            made.write(silence)
    assert len(claimed.getvalue()) < 1024**2
    with pytest.raises(BadInput, match="230,400,000 samples"):
        engine.embed_media([claimed.getvalue()], "audio")


@pytest.mark.parametrize("data", [b"", b"no sound", sound(0, 440)], ids=["empty", "text", "silent"])
def test_bytes_that_are_no_sound(engine: Engine, data: bytes) -> None:
    with pytest.raises(BadInput):
        engine.embed_media([data], "audio")


def test_pairs_are_scored_as_sentence_transformers_does(engine: Engine, tiny_models: Path) -> None:
    from sentence_transformers import CrossEncoder

    texts = ["paris is the capital", "key " * 100, "a"]
    made = engine.rerank("what is the capital", texts).result.result(30)
    scores = [floats(vector)[0] for vector in made.vectors]
    raw = CrossEncoder(str(tiny_models / "rerank"), device="cpu", max_length=64).predict(
        [("what is the capital", text) for text in texts]
    )
    assert scores == pytest.approx(raw.tolist(), abs=1e-4)


# --- Memory and turns -------------------------------------------------------------------------------


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
    model = engine._get("", "text").model
    texts = [f"answer {number}" for number in range(40)]
    expected = embedded(engine, texts).vectors
    short = model.run = Short(model.run, most=6)
    assert all(cosine(a, b) > 0.9999 for a, b in zip(embedded(engine, texts).vectors, expected, strict=True))
    assert max(short.sizes) > 6
    assert engine.stats()["halved"] > 0
    model.run = Short(short.run, most=0)
    with pytest.raises(ModelUnavailable, match="memory"):
        embedded(engine, texts[:3])


def test_a_query_waits_for_one_batch_of_a_bulk_at_most(engine: Engine) -> None:
    model = engine._get("", "text").model
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
    model = engine._get("", "text").model
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
    model = engine._get("", "text").model
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
    model = engine._get("", "text").model
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


def test_an_idle_model_gives_its_memory_back_and_returns_when_asked(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded(engine, ["paris"])
    settings.EMBEDDING_IDLE_SECONDS = 60
    engine.unload_idle()
    assert engine.stats()["loaded"] == ["text"]
    engine._loaded["text"].used -= 61
    engine.unload_idle()
    assert engine.stats()["loaded"] == []
    assert len(embedded(engine, ["paris"]).vectors) == 1


def test_a_model_that_does_not_fit_lets_others_go_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded(engine, ["paris"])
    free = [0]
    monkeypatch.setattr("rag.embedding.engine.device.free_bytes", lambda device: free[0])
    monkeypatch.setattr("rag.embedding.engine.device.give_back", lambda device: free.__setitem__(0, 10**12))
    embedded(engine, ["paris"], model="other")
    assert engine.stats()["loaded"] == ["other"]
    free[0] = 0
    monkeypatch.setattr("rag.embedding.engine.device.give_back", lambda device: None)
    with pytest.raises(ModelUnavailable, match="memory"):
        embedded(engine, ["paris"], model="text")
