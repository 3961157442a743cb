"""Where weights come from: folders, and a hub that is asked over HTTP; what is said when there are none."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from rag.embedding.catalog import FALLBACK_TEXT, card
from rag.embedding.engine.choice import Chooser
from rag.embedding.engine.weights import BeingFetched, Fetcher, find, wanted
from rag.embedding.errors import ModelUnavailable, UnknownModel

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """As much of the hub's HTTP as a download takes: one repository, from a folder."""

    def __init__(self, folder: Path, repository: str) -> None:
        self.folder, self.repository = folder, repository
        self.refusal: tuple[int, str] | None = None
        self.go = threading.Event()
        self.go.set()
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def entry(self, name: str) -> dict[str, object]:
        data = (self.folder / name).read_bytes()
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        headers, body, status = {"X-Repo-Commit": COMMIT}, b"", 200
        if self.refusal:
            status, headers["X-Error-Code"] = self.refusal
        elif request.path.startswith(f"/api/models/{self.repository}"):
            files = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
            about: object = {"id": self.repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            if "/tree/" in request.path:
                about = [self.entry(name) for name in files]
            body = json.dumps(about).encode()
        else:
            self.go.wait(20)
            body = (self.folder / request.path.partition("/resolve/")[2].partition("/")[2]).read_bytes()
            headers["ETag"] = f'"{hashlib.sha1(body).hexdigest()}"'
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def hub(tiny_models: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with `tiny/text`, which the operator has named."""
    made = Hub(tiny_models / "text", "tiny/text")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.url)
    template = f"{made.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    settings.MODELS_DIR = tmp_path / "models"
    settings.EMBEDDING_TEXT_MODEL = "tiny/text"
    yield made
    made.go.set()
    made.server.shutdown()


def eventually(get: Callable[[], object]) -> None:
    """Returns when it no longer says that weights are on their way."""
    deadline = time.monotonic() + 60
    while True:
        try:
            get()
        except BeingFetched:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def test_what_the_hub_has_is_fetched_while_callers_are_told_to_come_again(hub: Hub) -> None:
    hub.go.clear()
    chooser = Chooser()
    with pytest.raises(BeingFetched) as refusal:
        chooser.text_default()
    assert refusal.value.retriable
    assert "downloaded" in {state.id: state for state in chooser.listed()}["tiny/text"].note
    hub.go.set()
    eventually(chooser.text_default)
    choice = chooser.text_default()
    assert (choice.card.name, choice.weights.revision, choice.fallback_for) == ("tiny/text", COMMIT[:12], "")
    assert find(card("tiny/text")) == choice.weights


@pytest.mark.parametrize(
    ("refusal", "words"),
    [((403, "GatedRepo"), "accepted their terms"), ((404, "RepoNotFound"), "no such model"), ((500, ""), "refused")],
)
def test_what_the_hub_refuses_falls_back_and_says_why(hub: Hub, refusal: tuple[int, str], words: str) -> None:
    hub.refusal = refusal
    choice = Chooser().text_default()
    assert (choice.card.name, choice.fallback_for) == (FALLBACK_TEXT, "tiny/text")
    assert words in choice.why
    assert hub.url not in choice.why


def test_a_hub_that_is_away_is_asked_once_and_not_waited_for(hub: Hub, settings: Settings) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    fetcher = Fetcher()
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            fetcher.get(card("tiny/text"))
    assert Chooser().text_default().fallback_for == "tiny/text"


def test_nobodys_request_makes_the_gateway_ask_for_any_name(hub: Hub) -> None:
    with pytest.raises(UnknownModel):
        Fetcher().get(card("somebody/anything"))
    assert hub.asked == []


def test_what_comes_later_takes_the_fallbacks_place(hub: Hub, tiny_models: Path, settings: Settings) -> None:
    hub.refusal = (404, "RepoNotFound")
    chooser = Chooser()
    assert chooser.text_default().fallback_for
    (settings.MODELS_DIR / "tiny").mkdir(parents=True)
    (settings.MODELS_DIR / "tiny" / "text").symlink_to(tiny_models / "text")
    assert chooser.text_default().fallback_for
    chooser.refresh()
    assert chooser.text_default().card.name == "tiny/text"


def test_of_a_repository_only_what_is_needed_is_fetched() -> None:
    files = [
        "README.md", "config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "tokenizer.json",
        "vocab.txt", "onnx/model.onnx", "onnx/config.json", "1_Pooling/config.json", "2_Dense/pytorch_model.bin",
        "colbert_linear.pt", "sentencepiece.bpe.model", "imgs/a.jpg",
    ]  # fmt: skip
    assert set(wanted(files)) == {
        "config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "1_Pooling/config.json",
        "2_Dense/pytorch_model.bin", "sentencepiece.bpe.model",
    }  # fmt: skip


def test_a_folder_that_was_cut_off_is_no_model_and_another_content_is_another_revision(
    tmp_path: Path, settings: Settings
) -> None:
    settings.MODELS_DIR = tmp_path
    folder = tmp_path / "mine"
    folder.mkdir()
    assert find(card("mine")) is None
    (folder / "config.json").write_text("{}")
    assert find(card("mine")) is None
    (folder / "model.safetensors").write_bytes(b"1" * 3_000_000)
    first = find(card("mine"))
    assert first is not None
    (folder / "model.safetensors").write_bytes(b"1" * 2_999_999 + b"2")
    second = find(card("mine"))
    assert second is not None
    assert first.revision != second.revision
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-2.safetensors"}}))
    assert find(card("mine")) is None
