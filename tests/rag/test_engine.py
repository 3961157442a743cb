"""The engine on models of every kind: what comes out, and what is refused."""

import io
import math
from array import array
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from pytest_django.fixtures import Settings
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertModel, DebertaV2Config, DebertaV2Model

from rag.embedding.engine import Engine
from rag.embedding.errors import (
    BadDimensions,
    BadInput,
    BadVector,
    ModelUnavailable,
    TooLong,
    UnknownModel,
)
from rag.embedding.vectors import floats
from tests.rag import tiny_models
from tests.rag.engines import cosine, embedded, model_of, picture, sound

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

    model = model_of(engine)
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


def test_of_what_cannot_fit_only_a_part_is_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = model_of(engine).tokens
    seen: list[int] = []

    def counting(texts: list[str], **options: Any) -> Any:
        seen.append(sum(map(len, texts)))
        return Tokenizer.encode_batch_fast(tokens_whole, texts, **options)

    tokens_whole, tokens.whole = tokens.whole, SimpleNamespace(encode_batch_fast=counting)
    with pytest.raises(TooLong, match="Input 1 has more than 250002 tokens; the model takes 64") as refusal:
        embedded(engine, ["paris", "key " * 5_000_000], role="document")
    assert refusal.value.tokens == 250_002
    assert sum(seen) < 1_100_000
    seen.clear()
    with pytest.raises(TooLong) as refusal:
        embedded(engine, ["key " * 500] * 2048)
    assert (refusal.value.index, refusal.value.tokens) == (0, 503)
    assert sum(seen) < 1_100_000
    seen.clear()
    with pytest.raises(BadInput, match="more than 1,000,000 characters"):
        embedded(engine, [" " * 2_000_000])
    assert sum(seen) < 1_100_000


def test_a_text_of_many_characters_and_few_tokens_is_embedded_as_a_whole(engine: Engine) -> None:
    spaces = " " * 300_000
    made = embedded(engine, [f"paris{spaces}france", "paris france"])
    assert cosine(*made.vectors) > 0.99999
    assert made.tokens[0] == made.tokens[1]


def test_many_texts_are_made_into_tokens_in_parts_and_keep_their_order(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["paris", "key " * 40, "", "the capital of france", "red " * 90, "green"]
    expected = embedded(engine, texts, truncate=True)
    monkeypatch.setattr("rag.embedding.engine.text.AT_ONCE", 25)
    in_parts = embedded(engine, texts, truncate=True)
    assert in_parts.tokens == expected.tokens
    assert all(cosine(a, b) > 0.9999 for a, b in zip(in_parts.vectors, expected.vectors, strict=True))
    with pytest.raises(TooLong) as refusal:
        embedded(engine, texts)
    assert refusal.value.index == 4


def test_a_text_without_a_token_has_no_vector(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tokenizers make nothing of nothing, and a batch with a row of no length is none."""
    model = model_of(engine)
    plain = Tokenizer.from_str(model.tokens.whole.to_str())
    plain.post_processor = TemplateProcessing(single="$A")
    model.tokens.whole = model.tokens.cutting = plain
    with pytest.raises(BadVector) as refusal:
        embedded(engine, ["red", " "], role="document")
    assert refusal.value.index == 1
    with pytest.raises(BadVector) as refusal:
        list(engine.encode_documents(["red"] * 1500 + [" "]))
    assert refusal.value.index == 1500


def test_token_ids_beyond_the_models_vectors_are_refused(engine: Engine, copied: Callable[[str], Path]) -> None:
    """A tokenizer may know more than the model; on a GPU such an id would fail every call after it."""
    folder = copied("narrow")
    config = tiny_models.bert_config()
    known = config.vocab_size = config.vocab_size - 5
    BertModel(config).save_pretrained(folder)
    assert len(embedded(engine, [[known - 1]], model="narrow").vectors) == 1
    with pytest.raises(BadInput, match=f"from 0 to {known - 1}"):
        embedded(engine, [[known]], model="narrow")


def test_models_have_torchs_own_attention_if_they_can(engine: Engine, copied: Callable[[str], Path]) -> None:
    folder = copied("deberta")
    sizes = {name: getattr(tiny_models.bert_config(), name) for name in ("vocab_size", "hidden_size")}
    config = DebertaV2Config(**sizes, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    DebertaV2Model(config).save_pretrained(folder)
    used = {}
    for name in ("text", "deberta"):
        assert len(embedded(engine, ["paris"], model=name).vectors) == 1
        used[name] = model_of(engine, name)._model[0].config._attn_implementation
    assert used == {"text": "sdpa", "deberta": "eager"}


def test_token_arrays_are_the_models_own_ids(engine: Engine) -> None:
    ids = model_of(engine).tokens.plain("capital of france")
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
