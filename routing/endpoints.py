"""The endpoints that share one way through the pipeline, and what sets them apart."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-shaped endpoint: its path under the API base, what a kind must be able to do, its request's field."""

    path: str
    capability: str
    # The member that must be there and not empty.
    content: str

    @property
    def public_path(self) -> str:
        """The path that the gateway's own clients call."""
        return f"/v1{self.path}"


CHAT = Endpoint("/chat/completions", "chat", "messages")
COMPLETIONS = Endpoint("/completions", "completions", "prompt")
