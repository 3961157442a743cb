"""Embeddings while their worker is away, when it has come, and of pictures and sounds: models of random weights."""

import io
import math
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.gateway.process import ROOT, Process, web_process
from tests.rag.embedder import START_SECONDS, EmbedderProcess

PATH = "/v1/embeddings"
MODEL = "all-MiniLM-L6-v2"

pytestmark = pytest.mark.timeout(START_SECONDS + 120)


@pytest.fixture(scope="module")
def worker() -> Iterator[EmbedderProcess]:
    """Not started yet."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        made = f"import pathlib, tests.rag.tiny_models as tiny; tiny.make_all(pathlib.Path({directory!r}) / 'models')"
        subprocess.run([sys.executable, "-c", made], cwd=ROOT, check=True)
        process = EmbedderProcess(Path(directory), EMBEDDING_IMAGE_MODEL="siglip", EMBEDDING_AUDIO_MODEL="clap")
        yield process
        process.stop()


@pytest.fixture(scope="module")
def http(gateway: Process, worker: EmbedderProcess, key: str) -> Iterator[httpx.Client]:
    """A web process of the gateway that asks that worker."""
    process = web_process(
        gateway.data_dir, DJANGO_SETTINGS_MODULE="tests.gateway.embedder_settings", TEST_EMBED_SOCKET=worker.path
    )
    process.wait_until_ready()
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=process.url, headers=headers, timeout=120, trust_env=False) as client:
        yield client
    process.stop()


@pytest.fixture
def running(worker: EmbedderProcess) -> EmbedderProcess:
    if worker.process is None:
        worker.start()
    return worker


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def tone(pitch: float) -> bytes:
    file = io.BytesIO()
    samples = [int(9000 * math.sin(pitch * index)) for index in range(16_000)]
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return file.getvalue()


def test_while_the_worker_is_away_it_is_503_at_once(http: httpx.Client, worker: EmbedderProcess) -> None:
    assert worker.process is None
    for path, sent in (
        (PATH, {"json": {"input": "a"}}),
        (f"{PATH}/text", {"json": {"text": "a"}}),
        (f"{PATH}/image", {"files": {"file": ("a.png", picture("red"))}}),
    ):
        began = time.monotonic()
        answer = http.post(path, **sent)
        assert answer.status_code == 503, answer.text
        assert time.monotonic() - began < 5
        assert "embedding worker does not answer" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) > 0
    rows = http.get(f"{PATH}/models").json()["data"]
    assert [row["modality"] for row in rows] == ["text", "image", "audio"]
    assert all("does not answer" in row["note"] for row in rows)


def test_when_it_has_come_it_answers(http: httpx.Client, running: EmbedderProcess) -> None:
    answer = http.post(PATH, json={"input": "a"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == MODEL


def test_one_that_died_and_was_started_again_answers(http: httpx.Client, running: EmbedderProcess) -> None:
    running.kill()
    assert http.post(PATH, json={"input": "a", "model": MODEL}).status_code == 503
    running.start()
    assert http.post(PATH, json={"input": "a", "model": MODEL}).status_code == 200


@pytest.mark.parametrize(("kind", "one", "other"), [
    ("image", picture("red"), picture("blue")), ("audio", tone(0.1), tone(0.5)),
])  # fmt: skip
def test_files_have_vectors(http: httpx.Client, running: EmbedderProcess, kind: str, one: bytes, other: bytes) -> None:
    def vector(content: bytes, **fields: str) -> list[float]:
        answer = http.post(f"{PATH}/{kind}", files={"file": ("a", content)}, data=fields)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-gateway-provider"] == "gateway"
        body = answer.json()
        model = {"image": "siglip", "audio": "clap"}[kind]
        assert (body["model"], body["dimensions"], len(body["embeddings"][0])) == (model, 32, 32)
        assert answer.headers["x-gateway-model"] == model
        found: list[float] = body["embeddings"][0]
        return found

    assert vector(one) == pytest.approx(vector(one, model="auto"), abs=1e-5)
    assert vector(one) != pytest.approx(vector(other), abs=1e-3)
    assert math.hypot(*vector(one)) == pytest.approx(1, abs=1e-4)
    if kind == "image":  # CLAP's are of length 1 as they are made
        assert math.hypot(*vector(one, normalize="false")) != pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_files_that_cannot_be_read_are_400(http: httpx.Client, running: EmbedderProcess, kind: str) -> None:
    for junk in (b"junk", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WAVE"):
        answer = http.post(f"{PATH}/{kind}", files={"file": ("a", junk)})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file"), answer.text


def test_an_idempotency_key_stands_for_the_file_and_not_for_its_form(
    http: httpx.Client, running: EmbedderProcess
) -> None:
    def ask(content: bytes) -> httpx.Response:
        headers: dict[str, Any] = {"idempotency-key": key}
        return http.post(f"{PATH}/image", files={"file": ("a.png", content)}, headers=headers)

    key = f"picture-{time.time_ns()}"
    first, again = ask(picture("red")), ask(picture("red"))  # each form has a boundary of its own
    assert again.headers["idempotent-replayed"] == "true", again.text
    assert again.content == first.content
    assert ask(picture("blue")).status_code == 409


def test_a_folder_of_the_installation_is_a_model_by_its_name(http: httpx.Client, running: EmbedderProcess) -> None:
    answer = http.post(PATH, json={"input": "hello", "model": "gateway/text"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"][0]["embedding"]) == 32


def test_a_model_that_makes_no_numbers_is_503_by_name(http: httpx.Client, running: EmbedderProcess) -> None:
    answer = http.post(PATH, json={"input": "hello", "model": "gateway/nan"})
    assert answer.status_code == 503
    assert "nan made no usable vector" in answer.json()["error"]["message"]


def test_a_listed_model_that_is_asked_elsewhere_says_where(http: httpx.Client, running: EmbedderProcess) -> None:
    deadline = time.monotonic() + 30
    while "clap" not in [model["id"] for model in http.get("/v1/models").json()["data"]]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for path, body, place in (
        (PATH, {"input": "a", "model": "clap"}, "/v1/embeddings/audio"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "model": MODEL}, "/v1/embeddings"),
    ):
        answer = http.post(path, json=body)
        told = f"The model '{body['model']}' is asked at {place}, and nowhere else."
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, told)
