"""What is known of a model beyond its name."""

from analytics import pricing
from keys.kinds import Kind

# Parts of the names of models that do something other than chat, for models that no price map knows.
OTHER_TASKS = (
    "embed", "rerank", "whisper", "tts", "transcribe", "moderation", "dall-e", "image", "realtime", "bge-", "minilm",
)  # fmt: skip


def chats(kind: Kind, model: str) -> bool:
    """Whether `model` takes a chat: what the price map says, else what its name suggests."""
    mode = pricing.mode(kind.id, model)
    if mode:
        return mode in ("chat", "responses")
    lowered = model.lower()
    return not any(part in lowered for part in OTHER_TASKS)
