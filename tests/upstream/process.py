"""The upstream as a child process, and the handle by which a test steers it."""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent


class Upstream:
    """`with Upstream() as upstream:` runs one on `port`, or on a free one. It ends with this process."""

    def __init__(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.upstream", "--port", str(port), "--until-stdin-closes"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.rpartition(" ")[2])
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(10)

    def base_url(self, scene: str = "") -> str:
        """The base URL of a provider that this upstream plays, without `/v1`."""
        return f"{self.url}/s/{scene}" if scene else self.url

    def serve(self, models: list[str], *, scene: str = "") -> None:
        """Let `scene` list these models."""
        self._control({"scene": scene, "models": models})

    def behave(self, on: str, *behaviours: dict[str, Any], scene: str = "", cycle: bool = False) -> None:
        """Let the next requests for the model (or to the path) `on` get `behaviours`, one each.

        The last one stays; in a `cycle` the first follows it.
        """
        self._control({"scene": scene, "on": on, "behaviours": list(behaviours), "cycle": cycle})

    def _control(self, body: dict[str, Any]) -> None:
        self.http.post("/_control", json=body).raise_for_status()

    def requests(self, **match: str) -> list[dict[str, Any]]:
        """What it received: `records.Record` as dicts, filtered by `scene`, `model` and the end of `path`."""
        data: list[dict[str, Any]] = self.http.get("/_requests", params=match).json()["data"]
        return data

    def wait_until_left(self, *, within: float, **match: str) -> dict[str, Any]:
        """The last request that matches, once its client has closed the connection; fails after `within` seconds."""
        end = time.monotonic() + within
        while True:
            found = self.requests(**match)
            if found and found[-1]["peer_left_at"] is not None:
                return found[-1]
            assert time.monotonic() < end, f"the client is still there after {within} s: {found}"
            time.sleep(0.02)
