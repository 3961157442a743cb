"""What the request path needs running in its process: the snapshot's listener and the ledger's writer."""

import atexit

from analytics import ledger
from keys.usage import record_use
from routing import health, snapshot

_started = False


def start() -> None:
    """Begin. Safe to call again; at exit, what is spooled is moved to Postgres."""
    global _started
    if _started:
        return
    _started = True
    ledger.on_enter(record_use)
    ledger.start()
    snapshot.start()
    health.current.credential_of = snapshot.current.credential
    atexit.register(ledger.stop)
