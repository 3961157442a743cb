"""The filesystem broker: kombu's, in shorter turns, and with files that are whole as soon as they can be seen.

Two workers and the web processes share its folder. kombu writes a file where others look for it, so that one of them
may read it while it is empty, and ends.
"""

import fcntl
import uuid
from pathlib import Path
from time import monotonic_ns
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

# Seconds after which the worker looks up from waiting for a message. It asks for two, and a stop takes up to two turns.
TURN = 0.2


class Channel(filesystem.Channel):
    """Puts files in their place by renaming them."""

    def _put(self, queue: str, message: Any, **options: Any) -> None:  # type: ignore[override]
        # Read in the order of their names.
        name = f"{monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, message)

    def get_table(self, exchange: str) -> list[Any]:
        """The queues that are bound to `exchange`; none where a process was killed while it wrote them."""
        try:
            return super().get_table(exchange)  # type: ignore[no-any-return,no-untyped-call]
        except ValueError:
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        file = self._exchange_file(exchange)  # type: ignore[no-untyped-call]
        self.control_folder.mkdir(exist_ok=True)
        bound = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with (self.control_folder / "lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            queues = self.get_table(exchange)
            if bound not in queues:
                _write(file, [bound, *queues])


def _write(file: Path, content: Any) -> None:
    draft = file.with_name(f"{file.name}.{uuid.uuid4()}")
    draft.write_text(dumps(content))  # type: ignore[no-untyped-call]
    draft.rename(file)


class Transport(filesystem.Transport):
    """It polls as often as kombu's own does, and no more."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        turn = TURN if timeout is None else min(timeout, TURN)
        super().drain_events(connection, turn, **options)  # type: ignore[no-untyped-call]


def use() -> None:
    """Have `filesystem://` mean this transport in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
