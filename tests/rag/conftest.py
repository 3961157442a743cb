"""The embedding worker of this application's tests, and who acts in them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings

from accounts.access import Caller
from rag import services
from rag.models import Library
from rag.services import Actor
from tests.rag.embedder import EmbedderProcess

if TYPE_CHECKING:
    from rag.embedding.engine import Engine


@pytest.fixture(scope="session")
def _embedder_process() -> Iterator[EmbedderProcess]:
    process = EmbedderProcess(settings.DATA_DIR).start()
    yield process
    process.stop()


@pytest.fixture
def embedder(_embedder_process: EmbedderProcess) -> EmbedderProcess:
    """A running worker with all-MiniLM-L6-v2 on settings.EMBED_SOCKET; a test that ended it finds it started again."""
    if _embedder_process.process is None:
        _embedder_process.start()
    return _embedder_process


@pytest.fixture
def no_worker(settings: Any, tmp_path: Path) -> None:
    """Nobody serves models, whatever runs beside this test."""
    settings.EMBED_SOCKET = str(tmp_path / "nobody.sock")


@pytest.fixture
def actor(owner: Caller) -> Actor:
    return Actor.of(owner)


@pytest.fixture
def library(actor: Actor) -> Library:
    """The workspace's first one."""
    return services.default_library(actor.workspace_id)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with random weights, as tests/rag/tiny_models.py makes them; a MODELS_DIR."""
    from tests.rag import tiny_models

    folder = tmp_path_factory.mktemp("models")
    tiny_models.make_all(folder)
    return folder


@pytest.fixture
def engine(tiny_models: Path, settings: Any) -> "Iterator[Engine]":
    """An engine of this process, with a tiny model of every kind."""
    from rag.embedding.engine import Engine

    settings.MODELS_DIR = tiny_models
    settings.EMBEDDING_DEVICE = "cpu"
    settings.EMBEDDING_TEXT_MODEL = "text"
    settings.EMBEDDING_IMAGE_MODEL = "siglip"
    settings.EMBEDDING_AUDIO_MODEL = "clap"
    settings.EMBEDDING_RERANK_MODEL = "rerank"
    made = Engine()
    yield made
    made.stop()


@pytest.fixture
def copied(tiny_models: Path, tmp_path: Path, settings: Any) -> Callable[[str], Path]:
    """Makes copies of the tiny text model, of any name, in a MODELS_DIR of this test that has it, too."""
    settings.MODELS_DIR = tmp_path

    def copy(name: str) -> Path:
        return shutil.copytree(tiny_models / "text", tmp_path / name)

    copy("text")
    return copy
