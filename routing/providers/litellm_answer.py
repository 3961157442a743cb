"""litellm's answers as OpenAI's wire has them: its own additions taken out, what it leaves out put back."""

from typing import Any

_TOP = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
# Beside OpenAI's members of a message or delta: reasoning as text, and signed blocks that a next turn must send back.
_SAID = (
    "role", "content", "refusal", "tool_calls", "function_call", "audio", "annotations", "images",
    "reasoning_content", "thinking_blocks",
)  # fmt: skip


def whole(answer: dict[str, Any]) -> dict[str, Any]:
    """A chat completion from what litellm's `ModelResponse` dumps to."""
    shaped = _head(answer)
    shaped["choices"] = [
        {
            "index": choice.get("index", index),
            "message": {"role": "assistant", "content": None, "refusal": None, **_said(choice.get("message"))},
            "logprobs": choice.get("logprobs"),
            "finish_reason": choice.get("finish_reason"),
        }
        for index, choice in enumerate(answer.get("choices") or ())
    ]
    shaped["usage"] = _usage(answer.get("usage"))
    return shaped


class Chunks:
    """Shapes the chunks of one stream, which all carry the first one's id."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}

    def shape(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """A chunk from what litellm's dumps to; None for one that says nothing. With usage it has no choices."""
        self.head = self.head or _head(chunk)
        usage = chunk.get("usage")
        if usage:
            return {**self.head, "choices": [], "usage": _usage(usage)}
        choices = [
            {
                "index": choice.get("index", 0),
                "delta": _said(choice.get("delta")),
                "logprobs": choice.get("logprobs"),
                "finish_reason": choice.get("finish_reason"),
            }
            for choice in chunk.get("choices") or ()
        ]
        if not any(choice["delta"] or choice["finish_reason"] for choice in choices):
            return None
        return {**self.head, "choices": choices}


def _head(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in _TOP if answer.get(name) is not None}


def _said(message: dict[str, Any] | None) -> dict[str, Any]:
    message = message or {}
    said = {name: message[name] for name in _SAID if message.get(name) not in (None, [], {})}
    refusal = (message.get("provider_specific_fields") or {}).get("refusal")
    return {**said, "refusal": refusal} if refusal else said


def _usage(usage: dict[str, Any] | None) -> dict[str, Any]:
    """Without litellm's own idea of the cost, which is a float."""
    return {name: value for name, value in (usage or {}).items() if name != "cost" and value != {}}
