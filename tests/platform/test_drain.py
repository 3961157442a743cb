"""TERM lets running streams end, for a bounded time, and takes no new requests meanwhile."""

import signal
import threading
import time

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.scene import CHAT, MESSAGES, Scene
from tests.platform.conftest import Start
from tests.platform.gateway import Gateway, wait_until
from tests.upstream import Upstream


def scene(gateway: Gateway, upstream: Upstream) -> Scene:
    account = Account(gateway.url)
    return Scene(gateway.url, upstream, account, account.create_key()["key"])


class Reader:
    """Reads one stream in a thread; `text` is what came so far."""

    def __init__(self, stage: Scene) -> None:
        self.text = ""
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read, args=(stage,), daemon=True)
        self._thread.start()

    def _read(self, stage: Scene) -> None:
        body = {"model": f"{stage.name}/{stage.model}", "messages": MESSAGES, "stream": True}
        try:
            with stage.http.stream("POST", CHAT, json=body, timeout=30) as answer:
                for chunk in answer.iter_text():
                    self.text += chunk
        except httpx.HTTPError as error:
            self.error = error

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_a_stream_that_is_running_comes_to_its_end(start: Start, server: str) -> None:
    with Upstream() as upstream:
        gateway = start(SERVER=server).ready()
        stage = scene(gateway, upstream)
        upstream.behave(stage.model, {"chunks": 15, "interval": 0.2}, scene=stage.name)
        reader = Reader(stage)
        wait_until(lambda: "data:" in reader.text, 10, "the first chunk")
        gateway.signal(signal.SIGTERM)
        time.sleep(1)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{gateway.url}/health", timeout=2)
        reader.join(10)
        assert reader.text.rstrip().endswith("data: [DONE]"), reader.error
        assert gateway.ended(10) == 0


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_a_stream_without_end_does_not_hold_up_the_stop(start: Start, server: str) -> None:
    with Upstream() as upstream:
        gateway = start(SERVER=server).ready()
        stage = scene(gateway, upstream)
        upstream.behave(stage.model, {"chunks": 1000, "interval": 0.2}, scene=stage.name)
        reader = Reader(stage)
        wait_until(lambda: "data:" in reader.text, 10, "the first chunk")
        processes = gateway.processes()
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert gateway.ended(12) == 0
        gateway.assert_all_gone(processes)
        assert time.monotonic() - began < 11
