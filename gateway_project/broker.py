"""The filesystem broker as the worker listens to it: kombu's, in shorter turns."""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem

# Seconds after which the worker looks up from waiting for a message. It asks for two, and a stop takes up to two turns.
TURN = 0.2


class Transport(filesystem.Transport):
    """It polls as often as kombu's own does, and no more."""

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        turn = TURN if timeout is None else min(timeout, TURN)
        super().drain_events(connection, turn, **options)  # type: ignore[no-untyped-call]


def use() -> None:
    """Have `filesystem://` mean this transport in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
