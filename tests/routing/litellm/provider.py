"""Anthropic, Gemini and Azure, each at an upstream that speaks its wire."""

import base64
import itertools
from typing import Any

import orjson
import pytest

from keys.kinds import KINDS, api_base
from keys.vault import Secret
from routing.providers.base import DEFAULT_TIMEOUTS, Target, Timeouts
from routing.providers.litellm_bridge import LiteLLMBridge
from tests.upstream import Upstream

KEY = "sk-very-secret-0123456789"
SECRET = Secret(KEY)
MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro", "azure": "gpt-4o-mini"}
HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
scenes = itertools.count()

every_kind = pytest.mark.parametrize("kind", list(MODELS))


class Provider:
    """One provider of a kind at the upstream, in a scene of its own."""

    def __init__(self, upstream: Upstream, kind: str) -> None:
        self.upstream, self.kind, self.model = upstream, kind, MODELS[kind]
        self.scene = f"litellm-{next(scenes)}"
        self.target = self.at(upstream.base_url(self.scene))

    def at(self, url: str, secret: Secret | None = SECRET) -> Target:
        kind = KINDS[self.kind]
        return Target("id", "name", kind, api_base(kind, url), self.model, False, secret)

    def behave(self, **behaviour: Any) -> None:
        self.upstream.behave(self.model, behaviour, scene=self.scene)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self.upstream.requests(scene=self.scene)

    async def ask(self, timeouts: Timeouts = DEFAULT_TIMEOUTS, **body: Any) -> dict[str, Any]:
        reply = await LiteLLMBridge().send(
            self.target, "/chat/completions", {"messages": HELLO, **body}, stream=False, timeouts=timeouts
        )
        assert reply.blocks is None
        found: dict[str, Any] = orjson.loads(reply.body or b"")
        return found

    async def stream(self, timeouts: Timeouts = DEFAULT_TIMEOUTS, **body: Any) -> list[bytes]:
        reply = await LiteLLMBridge().send(
            self.target, "/chat/completions", {"messages": HELLO, **body}, stream=True, timeouts=timeouts
        )
        assert reply.blocks is not None
        return [block async for block in reply.blocks]
