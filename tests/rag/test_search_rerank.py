"""A cross-encoder has the last word: a real one in the worker, asked over its socket by a search."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Workspace
from rag.retrieve import Query, search
from tests.rag.embedder import EmbedderProcess
from tests.rag.shelves import make_document, make_library

QUESTION = "what is the capital city"
PASSAGES = [
    "paris is the capital city of france",
    "the budget of a city is red, and the capital is green",
    "a key to the city: what is the answer of the model in the capital?",
    "the gateway of the city",
]


@pytest.fixture(scope="module")
def _worker(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    data_dir = tmp_path_factory.mktemp("rerank")
    (data_dir / "models").symlink_to(tiny_models)
    process = EmbedderProcess(data_dir, EMBEDDING_TEXT_MODEL="text", EMBEDDING_RERANK_MODEL="rerank").start()
    yield process
    process.stop()


@pytest.fixture
def worker(_worker: EmbedderProcess, settings: Settings) -> EmbedderProcess:
    settings.EMBED_SOCKET = _worker.path
    settings.EMBEDDING_RERANK_MODEL = "rerank"
    return _worker


def by_the_model(tiny_models: Path) -> list[str]:
    """The passages as the model itself orders them."""
    from sentence_transformers import CrossEncoder

    scores = CrossEncoder(str(tiny_models / "rerank"), device="cpu", max_length=64).predict(
        [(QUESTION, passage) for passage in PASSAGES]
    )
    ranked = sorted(zip(scores.tolist(), PASSAGES, strict=True), reverse=True)
    return [passage for _, passage in ranked]


def test_passages_come_in_the_models_order(worker: EmbedderProcess, workspace: Workspace, tiny_models: Path) -> None:
    library = make_library(workspace)
    for passage in PASSAGES:  # of documents of their own, so that none is joined to another
        make_document(library, [passage], title=passage[:20])
    asked = Query(QUESTION, mode="text", top_k=len(PASSAGES))
    wanted = by_the_model(tiny_models)
    as_found = [result.content for result in search(workspace.pk, replace(asked, rerank=False)).results]
    assert sorted(as_found) == sorted(PASSAGES)
    assert as_found != wanted

    found = search(workspace.pk, asked)

    assert [result.content for result in found.results] == wanted
    assert (found.note, "rerank" in found.timings) == ("", True)
    scores = [result.score for result in found.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
