"""One test's stage: a provider of its own at the upstream, with one model, and a key that may use it."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai

from tests.gateway.account import Account
from tests.upstream import Upstream

MESSAGES: Any = [{"role": "user", "content": "Say something."}]
CHAT = "/v1/chat/completions"

_numbers = itertools.count(1)


def events_of(stream: bytes) -> list[bytes]:
    """A stream's events without their separators."""
    assert stream.endswith(b"\n\n"), stream[-200:]
    return stream[:-2].split(b"\n\n")


def payloads_of(stream: bytes) -> list[Any]:
    """What each `data:` line holds: JSON, or the text `[DONE]`."""
    lines = [event.removeprefix(b"data: ") for event in events_of(stream)]
    return ["[DONE]" if line == b"[DONE]" else json.loads(line) for line in lines]


class Scene:
    """Requests go to the gateway at `url`, as the key's holder."""

    def __init__(self, url: str, upstream: Upstream, account: Account, key: str, **provider: Any) -> None:
        self.name = f"stage-{next(_numbers)}"
        self.upstream = upstream
        self.account = account
        self.key = key
        self.url = url
        self.model = f"{self.name}-model"
        self.http = httpx.Client(base_url=url, timeout=15, trust_env=False, headers={"authorization": f"Bearer {key}"})
        self.providers: list[dict[str, Any]] = []
        self.provider = self.add_provider(self.name, **provider)

    def add_provider(self, name: str, *, at: str = "", **fields: Any) -> dict[str, Any]:
        """A provider that serves this scene's model; known to the gateway when this returns."""
        defaults: dict[str, Any] = {
            "kind": "openai_compatible",
            "name": name,
            "base_url": at or self.upstream.base_url(name),
            "models": [self.model],
            "api_key": f"sk-upstream-{name}-secret",
        }
        defaults |= fields
        self.upstream.serve(defaults["models"], scene=name)
        provider = self.account.add_provider(**defaults)
        self.providers.append(provider)
        self.wait_until_served(f"{name}/{defaults['models'][0]}")
        return provider

    def wait_until_served(self, model: str, within: float = 5) -> None:
        """Returns when the gateway lists `model` to this scene's key, both of which may be a moment old."""
        end = time.monotonic() + within
        while True:
            response = self.http.get("/v1/models")
            if response.status_code == 200 and model in [row["id"] for row in response.json()["data"]]:
                return
            assert time.monotonic() < end, f"{model} is not served after {within} s: {response.text}"
            time.sleep(0.02)

    def behave(self, *behaviours: dict[str, Any], provider: str = "") -> None:
        """What the provider does with the next requests, one behaviour each; the last one stays."""
        self.upstream.behave(self.model, *behaviours, scene=provider or self.name)

    def body(self, **fields: Any) -> dict[str, Any]:
        return {"model": self.model, "messages": MESSAGES, **fields}

    def post(self, path: str = CHAT, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return self.http.post(path, json=self.body(**fields), headers=headers)

    @contextlib.contextmanager
    def stream(self, path: str = CHAT, **fields: Any) -> Iterator[httpx.Response]:
        with self.http.stream("POST", path, json=self.body(stream=True, **fields)) as response:
            yield response

    def received(self, provider: str = "") -> list[dict[str, Any]]:
        """What the upstream got for this scene's model: one record for each attempt."""
        return self.upstream.requests(scene=provider or self.name, model=self.model)

    def record(self, response: httpx.Response) -> dict[str, Any]:
        """The ledger's record of an answer."""
        return self.account.record(response.headers["x-request-id"])

    def close(self) -> None:
        """Leave nothing behind that `auto` could find."""
        for provider in self.providers:
            self.account.call("DELETE", f"/api/keys/providers/{provider['id']}", 204)
        self.http.close()

    @property
    def sdk(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=15)

    @property
    def async_sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=15)
