"""What the upstream received and how each exchange ended, for a test's assertions."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Record:
    """One request. Times are seconds since the epoch, as `time.time()` of any process on this machine gives them."""

    scene: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    model: str
    body: Any  # the JSON, or the text when it is none
    received_at: float = field(default_factory=time.time)
    status: int | None = None  # None: no head was sent
    chunks_sent: int = 0
    finished_at: float | None = None  # the whole answer was handed to the kernel
    peer_left_at: float | None = None  # the client closed the connection before that


class Records:
    """The latest requests, all in memory: a test run is short."""

    def __init__(self) -> None:
        self._kept: list[Record] = []

    def add(self, record: Record) -> None:
        self._kept.append(record)

    def find(
        self, *, scene: str | None = None, model: str | None = None, path: str | None = None
    ) -> list[dict[str, Any]]:
        """The records that match every given field, in order of arrival; `path` matches the end of the path."""
        return [
            asdict(record)
            for record in self._kept
            if (scene is None or record.scene == scene)
            and (model is None or record.model == model)
            and (path is None or record.path.endswith(path))
        ]

    def clear(self) -> None:
        self._kept.clear()
