"""What the upstream shall do with one request; by default: answer well and at once."""

import base64
import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

Drop = Literal["", "before_headers", "after_headers", "after_chunks"]
UsageWhen = Literal["asked", "always", "never", "every"]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Every field's default is what a healthy provider does. Times are seconds."""

    # The head.
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    delay: float = 0.0  # before the head
    first_byte_delay: float = 0.0  # between the head and the body

    # The body, where it shall not be the wire's own answer. `replay` names a file.
    body: str | None = None
    body_base64: str = ""
    replay: str = ""

    # The wire's answer.
    text: str = ""  # what the model says; default: "word 0 word 1 …", one a chunk
    chunks: int = 3
    interval: float = 0.0  # between two chunks
    usage: UsageWhen = "asked"  # "asked": as OpenAI does; "every": a running usage in each chunk
    usage_object: dict[str, Any] | None = None
    line_mb: float = 0.0  # size of one oversized event
    done: bool = True  # end a stream with `data: [DONE]`
    error_after: int = -1  # chunks after which a stream says `data: {"error": …}` and ends

    # The transport.
    split: Literal["event", "whole"] | int = "event"  # or a number of bytes: cuts events and UTF-8 characters
    split_pause: float = 0.0
    gzip: bool = False  # compress although nobody asked
    drop: Drop = ""
    drop_after: int = 0  # chunks, for after_chunks
    linger: float = 0.0  # between the last byte of the answer and the end that HTTP knows
    truncate: bool = False  # promise more bytes than are sent
    close: bool = False  # no keep-alive: the body ends with the connection

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Raises TypeError for a field there is not."""
        return cls(**fields)

    @classmethod
    def from_model(cls, model: str) -> Self:
        """The behaviour in a model's name: `name?status=503&delay=0.2&headers.retry-after=1`."""
        fields: dict[str, Any] = {}
        kinds = {f.name: f.default for f in dataclasses.fields(cls)}
        for name, value in parse_qsl(model.partition("?")[2], keep_blank_values=True):
            if name.startswith("headers."):
                fields.setdefault("headers", {})[name.removeprefix("headers.")] = value
            elif name == "split":
                fields[name] = int(value) if value.isdigit() else value
            elif isinstance(default := kinds[name], bool):
                fields[name] = value in ("1", "true", "")
            else:
                fields[name] = type(default)(value) if isinstance(default, int | float) else value
        return cls(**fields)

    @property
    def raw_body(self) -> bytes | None:
        """The bytes to send instead of the wire's own answer, if any."""
        if self.replay:
            with open(self.replay, "rb") as stream:
                return stream.read()
        if self.body_base64:
            return base64.b64decode(self.body_base64)
        return None if self.body is None else self.body.encode("utf-8", "surrogatepass")
