"""What the pipeline knows of a provider: a target to ask, a reply that has begun, and how asking can fail."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from django.conf import settings

from keys.kinds import Kind
from keys.vault import Secret
from routing.catalog import ModelFacts, facts_for


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds an attempt may take: to connect, to its first byte, between two bytes, and in all."""

    connect: float
    first_byte: float
    idle: float
    total: float


DEFAULT_TIMEOUTS = Timeouts(**settings.UPSTREAM_TIMEOUTS)


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one provider of one workspace: what a request is routed to."""

    provider_id: str
    provider: str
    kind: Kind
    base_url: str
    model: str
    local: bool
    secret: Secret | None = field(repr=False)
    # What is known of the model; left out, what is known of it everywhere.
    facts: ModelFacts = field(default=None, repr=False, compare=False)  # type: ignore[assignment]
    # What the transport prepared for this target once, so that a request need not (its URL and headers).
    prepared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    # `<provider>/<model>`: what clients and people call it. `key` is what live state is kept by.
    id: str = field(init=False)
    key: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.provider}/{self.model}")
        object.__setattr__(self, "key", (self.provider_id, self.model))
        if self.facts is None:
            object.__setattr__(self, "facts", facts_for(self.kind, self.model, local=self.local))


class Failure(StrEnum):
    """Why an attempt failed; `pipeline.py` decides what follows from it."""

    CONNECT = "connect"  # refused, DNS, TLS: nothing was sent
    CONNECT_TIMEOUT = "connect_timeout"
    TIMEOUT = "timeout"  # no byte came in time
    DROPPED = "dropped"  # the connection broke after the request was sent
    STATUS = "status"  # an HTTP status of 400 or more
    JUNK = "junk"  # an answer that is not what the endpoint answers with
    UNSUPPORTED = "unsupported"  # the kind has no such endpoint or capability
    BUDGET = "budget"  # it was not asked: what it may cost does not fit


class UpstreamError(Exception):
    """An attempt failed before its first byte could be passed on, or broke off after it.

    `message` holds no secret, and nothing that a database or JSON refuses, whatever an upstream said. `status` and
    `body` are the upstream's, where it sent any; `retry_after` is in seconds.
    """

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        status: int | None = None,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        message = message.replace("\0", "").encode("utf-8", "replace").decode()
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.status = status
        self.body = body
        self.retry_after = retry_after


class Reply(Protocol):
    """An upstream's successful answer to one attempt, whole or as a stream.

    A whole answer has `body`, OpenAI-shaped JSON, and no `blocks`. A stream has `blocks`: bytes that hold
    whole server-sent events in OpenAI's shape, at least one each, `data: [DONE]` and the usage chunk included;
    iterating raises `UpstreamError` when it breaks off. `close()` drops the connection unless it was read to its end.
    """

    body: bytes | None
    blocks: AsyncIterator[bytes] | None

    @property
    def ended(self) -> bool:
        """Whether the upstream has nothing more to say, so that its connection is free again by itself."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    """How targets of one wire format are asked."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> Reply:
        """Ask `target` once. `endpoint` is a name of `routing.endpoints`, `body` an OpenAI-shaped request whose
        `model` is already the target's. Returns when the answer's head has come (and, unless `stream`, its body).
        Raises `UpstreamError`, never anything else but `asyncio.CancelledError`.
        """
        ...
