"""What a model does not take that the gateway, and not the client, chose.

A client that names its model gets that model's own word on every field. One that leaves the choice to the gateway
cannot know that OpenAI's reasoning models answer 400 to `max_tokens` and to a `temperature`, so it is spared them.
Source: their errors "Unsupported parameter: 'max_tokens' is not supported with this model. Use
'max_completion_tokens' instead" and "Unsupported value: 'temperature' does not support 0.7 with this model", as
reported of o1, o3, o4 and gpt-5 (2025-2026).
"""

from typing import Any

from routing.providers.base import Target

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


def adapt(body: dict[str, Any], target: Target) -> None:
    """Change `body`, a request's own copy, into one that `target` takes."""
    if target.kind.id != "openai" or "reasoning" not in (target.facts.capabilities or ()):
        return
    limit = body.pop("max_tokens", None)
    if limit is not None:
        body.setdefault("max_completion_tokens", limit)
    for field in SAMPLING:
        body.pop(field, None)
