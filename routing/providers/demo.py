"""The demo provider: a fixed, clearly labelled text from the gateway itself, so that a first request needs no key."""

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from analytics import tokens
from gateway_project.lib.ids import uuid7
from routing.endpoints import COMPLETIONS
from routing.providers import sse
from routing.providers.base import Target, Timeouts

MODEL = "demo"
TEXT = (
    "[demo] This is the gateway's demo provider: a fixed text, and no language model was asked. "
    "Your key, the routing and the ledger work. Add a provider in the console to get real answers."
)


class DemoReply:
    """See `routing.providers.base.Reply`."""

    def __init__(self) -> None:
        self.body: bytes | None = None
        self.blocks: AsyncIterator[bytes] | None = None

    @property
    def ended(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


class Demo:
    """The transport of the kind `demo`."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> DemoReply:
        """See `routing.providers.base.Transport`."""
        legacy = endpoint == COMPLETIONS.path
        prompt = tokens.count(str(body["prompt"]), MODEL) if legacy else tokens.estimate_messages(body["messages"])
        completion = tokens.count(TEXT, MODEL)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        reply = DemoReply()
        if stream:
            wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            reply.blocks = _stream(target.model, legacy, usage if wants_usage else None)
        else:
            choice = {"text": TEXT} if legacy else {"message": {"role": "assistant", "content": TEXT, "refusal": None}}
            ended = {"index": 0, **choice, "logprobs": None, "finish_reason": "stop"}
            reply.body = orjson.dumps(
                _envelope(target.model, legacy, chunk=False) | {"choices": [ended], "usage": usage}
            )
        return reply


def _envelope(model: str, legacy: bool, *, chunk: bool) -> dict[str, Any]:
    kind = "text_completion" if legacy else "chat.completion.chunk" if chunk else "chat.completion"
    prefix = "cmpl" if legacy else "chatcmpl"
    return {"id": f"{prefix}-{uuid7().hex}", "object": kind, "created": int(time.time()), "model": model}


async def _stream(model: str, legacy: bool, usage: dict[str, int] | None) -> AsyncIterator[bytes]:
    envelope = _envelope(model, legacy, chunk=True)

    def event(**members: Any) -> bytes:
        return b"data: " + orjson.dumps(envelope | members) + b"\n\n"

    def choice(text: str | None, finish: str | None = None) -> dict[str, Any]:
        said = {"text": text or ""} if legacy else {"delta": {"content": text} if text is not None else {}}
        return {"index": 0, **said, "logprobs": None, "finish_reason": finish}

    if not legacy:
        yield event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for word in TEXT.split(" "):
        yield event(choices=[choice(word if word == TEXT.split(" ")[0] else f" {word}")])
    yield event(choices=[choice(None, "stop")])
    if usage is not None:
        yield event(choices=[], usage=usage)
    yield sse.DONE
