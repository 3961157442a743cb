"""A server that nobody here wrote, `transformers serve` with a model of random weights, as one more upstream."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.process import ROOT, free_port
from tests.gateway.scene import MESSAGES, Scene

MAKER = ROOT.parent / "shared" / "tools" / "tiny_chat_model.py"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The model's name at the server, which is its folder."""
    if not MAKER.exists():
        pytest.skip(f"no {MAKER} to make a model with")
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, str(MAKER), directory], check=True, capture_output=True, timeout=240)
        yield directory


@pytest.fixture(scope="module")
def server(model: str) -> Iterator[str]:
    """The address of a running `transformers serve`."""
    command = Path(sys.executable).with_name("transformers")
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(command), "serve", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_up(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        except RuntimeError:
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace")[-3000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_up(url: str, process: subprocess.Popen[bytes], within: float = 240) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise RuntimeError("transformers serve did not start")


@pytest.fixture
def tiny(make_scene: MakeScene, server: str, model: str) -> Scene:
    scene = make_scene(at=server, models=[model], api_key=None)
    scene.model = model
    return scene


def test_a_chat(tiny: Scene) -> None:
    answer = tiny.sdk.with_options(timeout=60).chat.completions.with_raw_response.create(
        model=tiny.model, messages=MESSAGES, max_tokens=8
    )
    assert answer.parse().choices[0].message.role == "assistant"
    assert answer.headers["x-gateway-provider"] == tiny.name
    record = tiny.account.record(answer.headers["x-request-id"])
    assert record["status"] == 200
    assert record["completion_tokens"] > 0
    assert record["prompt_tokens"] > 0


def test_a_stream(tiny: Scene) -> None:
    stream = tiny.sdk.with_options(timeout=60).chat.completions.create(
        model=f"{tiny.name}/{tiny.model}", messages=MESSAGES, max_tokens=8, stream=True
    )
    chunks = list(stream)
    assert any(choice.finish_reason for chunk in chunks for choice in chunk.choices)
    record = tiny.account.record(stream.response.headers["x-request-id"])
    assert (record["status"], record["stream"]) == (200, True)
    assert record["completion_tokens"] > 0


def test_a_model_it_does_not_have(tiny: Scene, make_scene: MakeScene, server: str) -> None:
    scene = make_scene(at=server, models=["nobody/has-this"], api_key=None)
    response = scene.post(model=f"{scene.name}/nobody/has-this")
    assert response.status_code in (400, 404, 503)
    assert response.json()["error"]["message"]
