"""The embedding worker in a whole gateway: started beside the other one, and again when it dies."""

import pytest

from gateway_project.socket_paths import embed_socket
from rag.embedding.client import Embedder
from rag.embedding.errors import EmbedderAway, EmbeddingError
from tests.platform.conftest import Start
from tests.platform.gateway import wait_until


def answers(client: Embedder) -> bool:
    try:
        return client.stats_sync(timeout=5) is not None
    except EmbeddingError:
        return False


@pytest.mark.timeout(300)
def test_it_is_started_watched_and_started_again(start: Start) -> None:
    gateway = start(EMBEDDING_TEXT_MODEL="all-MiniLM-L6-v2").ready()
    client = Embedder(embed_socket(gateway.data_dir))
    wait_until(lambda: answers(client), 90, "the embedding worker's answer")
    wait_until(lambda: gateway.get("/health").json()["checks"]["worker"] == "ok", 60, "both workers' signs of life")
    assert {model.id for model in client.models_sync() if model.default} == {"all-MiniLM-L6-v2"}
    assert "gateway_embedder_up 1.0" in gateway.get("/metrics").text

    gateway.child("embedder@").kill()
    with pytest.raises(EmbedderAway):
        client.stats_sync()
    assert "gateway_embedder_up 0.0" in gateway.get("/metrics").text
    wait_until(lambda: answers(client), 90, "the embedding worker's return")


@pytest.mark.timeout(300)
def test_a_stop_takes_it_along(start: Start) -> None:
    gateway = start().ready()
    client = Embedder(embed_socket(gateway.data_dir))
    wait_until(lambda: answers(client), 90, "the embedding worker's answer")
    processes = gateway.processes()
    gateway.process.terminate()
    assert gateway.ended(20) == 0
    gateway.assert_all_gone(processes)
    with pytest.raises(EmbedderAway):
        client.stats_sync()
