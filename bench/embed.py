"""Embedding, beside what it is made of: `SentenceTransformer.encode` on the same machine in the same run.

    python -m bench embed

Each figure is a ratio of two medians whose rounds alternate, so that a busy machine slows both. Where there is a GPU,
its throughput in 16 bits is measured as well, for all-MiniLM-L6-v2 and for a model of bge-m3's shape with random
weights. What is embedded is this project's own text, cut into passages.
"""

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.processes import ROOT
from bench.report import machine

PASSAGES, ROUNDS = 192, 5
QUERIES, BLOCK, AT_ONCE = 120, 20, 16
BATCHES = (16, 32, 64)


def run(rounds: int = ROUNDS, passages: int = PASSAGES) -> int:
    """Print the figures. 1 when one is past what it must be."""
    with tempfile.TemporaryDirectory(prefix="gw-embed-") as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings", "DATA_DIR": folder, "HF_HUB_OFFLINE": "1",
            "EMBEDDING_TEXT_MODEL": "all-MiniLM-L6-v2",
        }  # fmt: skip
        import django

        django.setup()
        print(machine())
        figures = [*_bulk(rounds, passages), *_socket(Path(folder), rounds), *_cuda(Path(folder))]
    for what, value, must, most in figures:
        print(f"{what:<72} {value:6.2f}   must {'<=' if most else '>='} {must:g}")
    return int(any(value > must if most else value < must for _, value, must, most in figures))


Figure = tuple[str, float, float, bool]


def texts(count: int, seed: int = 7) -> list[str]:
    """Passages of 20 to 180 words, like chunks of documents."""
    chance = random.Random(seed)
    words = " ".join(path.read_text() for path in sorted(ROOT.glob("*.md"))).split()
    made = []
    for _ in range(count):
        start = chance.randrange(len(words) - 200)
        made.append(" ".join(words[start : start + chance.randint(20, 180)]))
    return made


class Took(NamedTuple):
    """Seconds, by the clock and of this process's cores."""

    wall: float
    cpu: float


def taken(run: Callable[[], Any]) -> Took:
    """What `run` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def _seconds(run: Callable[[], Any]) -> float:
    return taken(run).wall


def _bulk(rounds: int, passages: int) -> list[Figure]:
    """Documents in bulk beside `encode` in its best batches."""
    import torch

    from rag.embedding import engine

    documents, model = texts(passages), _raw()
    sizes = {size: _seconds(partial(_encode, model, documents, size)) for size in BATCHES}
    best = min(sizes, key=sizes.__getitem__)
    list(engine.current.encode_documents(documents))
    pairs = [
        (
            taken(partial(_encode, model, documents, best)),
            taken(lambda: list(engine.current.encode_documents(documents))),
        )
        for _ in range(rounds)
    ]
    raw, ours = ([each.wall for each in took] for took in zip(*pairs, strict=True))
    work = statistics.median(theirs.cpu / our.cpu for theirs, our in pairs)
    print(
        f"{len(documents)} passages: raw {len(documents) / statistics.median(raw):.1f}/s (batches of {best}), "
        f"ours {len(documents) / statistics.median(ours):.1f}/s; "
        f"CPU time, raw / ours: {work:.2f}; {torch.get_num_threads()} threads at the end"
    )
    return [("documents a second / raw encode in best batches", _ratio(raw, ours), 0.9, False)]


def _encode(model: Any, given: str | list[str], size: int = 32) -> Any:
    """Raw encode, with as many threads as the worker takes on a machine that is as busy."""
    share_cores()
    return model.encode(given, batch_size=size, normalize_embeddings=True, show_progress_bar=False)


def share_cores() -> None:
    """Let this thread use all cores, and one while others want these, too."""
    import torch

    from rag.embedding.engine import device

    torch.set_num_threads(1 if device.is_crowded() else device.threads(alone=True))


def _ratio(upper: Sequence[float], lower: Sequence[float]) -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(upper, lower, strict=True))


def _socket(folder: Path, rounds: int) -> list[Figure]:
    """Queries through a worker's socket beside `encode` of one query, and sixteen at once beside one by one."""
    from tests.rag.embedder import EmbedderProcess

    queries, model = [f"how does {text[:60]}" for text in texts(QUERIES, seed=11)], _raw()
    worker = EmbedderProcess(folder).start()
    try:
        client = worker.client
        for query in queries[:10]:
            client.embed_sync([query])
            _encode(model, query)
        raw, ours = [], []
        for start in range(0, len(queries), BLOCK):  # in turn, as a machine is not equally busy all the time
            block = queries[start : start + BLOCK]
            raw += [
                _seconds(partial(model.encode, query, normalize_embeddings=True, show_progress_bar=False))
                for query in block
            ]
            ours += [_seconds(partial(client.embed_sync, [query])) for query in block]
        one = statistics.median(ours) / statistics.median(raw)
        print(f"one query: raw {statistics.median(raw) * 1e3:.2f} ms, socket {statistics.median(ours) * 1e3:.2f} ms")
        return [
            ("one query through the socket, p50 / raw encode", one, 1.3, True),
            ("16 queries at once, throughput / one by one", asyncio.run(_at_once(client, queries, rounds)), 1.8, False),
        ]
    finally:
        worker.stop()


async def _at_once(client: Any, queries: list[str], rounds: int) -> float:
    async def many(each: int) -> float:
        waiting = iter(queries)

        async def one() -> None:
            for query in waiting:
                await client.embed([query])

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(each)))
        return time.perf_counter() - began

    pairs = [(await many(1), await many(AT_ONCE)) for _ in range(rounds)]
    return _ratio([one for one, _ in pairs], [many for _, many in pairs])


def _raw(folder: str = "", **options: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    from rag.embedding.catalog import FALLBACK_TEXT, card
    from rag.embedding.engine.weights import find

    if not folder:
        found = find(card(FALLBACK_TEXT))
        assert found is not None
        folder = str(found.folder)
    return SentenceTransformer(folder, **{"device": "cpu", **options})


# --- On a GPU ------------------------------------------------------------------------------------


def _cuda(folder: Path) -> list[Figure]:
    import torch

    if not torch.cuda.is_available():
        print("no GPU: throughput in 16 bits is not measured")
        return []
    from django.conf import settings

    settings.EMBEDDING_DEVICE = "cuda"
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    large = settings.MODELS_DIR / "bge-m3-shaped"
    _bge_m3_shaped(large)
    return [*_on_gpu("all-MiniLM-L6-v2", "", 20_000), *_on_gpu("bge-m3-shaped", str(large), 4_000)]


def _on_gpu(name: str, folder: str, count: int) -> list[Figure]:
    import torch

    from rag.embedding.catalog import card
    from rag.embedding.client import floats
    from rag.embedding.engine import Engine, device
    from rag.embedding.engine.text import TextModel
    from rag.embedding.engine.weights import find

    device.current.cache_clear()
    documents = texts(count)
    plain = _raw(folder, device="cuda", model_kwargs={"dtype": torch.float16})
    engine = Engine()
    found = find(card(name))
    assert found is not None
    engine.describe(name)
    model: TextModel = engine.memory.loaded()[name].model
    tokens = sum(model.lengths(model.prepare(documents, "document", truncate=True)))
    rounds: list[tuple[float, float]] = []
    for _ in range(4):
        raw = min(
            _seconds(partial(plain.encode, documents, batch_size=size, show_progress_bar=False)) for size in (32, 256)
        )
        rounds.append((raw, _seconds(lambda: list(engine.encode_documents(documents, name)))))
    raw, ours = (statistics.median(each) for each in zip(*rounds[1:], strict=True))
    print(f"{name}: raw {tokens / raw:,.0f} tokens/s, ours {tokens / ours:,.0f} tokens/s")
    few = documents[:64]
    exact = _raw(folder, device="cuda", model_kwargs={"dtype": torch.float32}).encode(few, normalize_embeddings=True)
    made = {
        i: v for done in engine.encode_documents(few, name) for i, v in zip(done.indices, done.vectors, strict=True)
    }
    cosine = min(sum(a * b for a, b in zip(floats(made[i]), exact[i].tolist(), strict=True)) for i in made)
    return [
        (f"{name} on a GPU, tokens a second / plain encode", raw / ours, 1.0, False),
        (f"{name} on a GPU, least cosine to float32", cosine, 0.999, False),
    ]


def _bge_m3_shaped(folder: Path) -> None:
    """A model of bge-m3's shape with random weights and all-MiniLM-L6-v2's tokenizer, which is smaller."""
    import torch
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    from rag.embedding.catalog import FALLBACK_TEXT, card
    from rag.embedding.engine.weights import find

    torch.manual_seed(0)
    found = find(card(FALLBACK_TEXT))
    assert found is not None
    config = XLMRobertaConfig(
        vocab_size=250_002, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
        max_position_embeddings=8194, type_vocab_size=1, pad_token_id=0,
    )  # fmt: skip
    XLMRobertaModel(config).half().save_pretrained(folder)
    AutoTokenizer.from_pretrained(found.folder).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(json.loads((folder / "tokenizer_config.json").read_text()) | {"model_max_length": 8192})
    )
