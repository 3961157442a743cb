"""What the request path needs running in its process: the snapshot's listener, the ledger's writer, news by Redis."""

import atexit

from analytics import ledger
from keys.usage import record_use
from routing import evidence, health, share, snapshot
from routing.afresh import ask_afresh
from routing.budgets import till, watch
from routing.cache import purge
from routing.cache.semantic import checks
from routing.grounding import forgetting
from routing.health_sharing import Sharing

_started = False


def start() -> None:
    """Begin. Safe to call again; at exit, what is spooled is moved to Postgres."""
    global _started
    if _started:
        return
    _started = True
    ledger.on_enter(record_use)
    ledger.on_enter(evidence.gather)
    ledger.start()
    purge.start()
    forgetting.start()
    checks.current.ask = ask_afresh
    watch.start()
    snapshot.start()
    health.current.credential_of = snapshot.current.credential
    if share.current is not None:
        Sharing(health.current, share.current)
    share.start()
    # Called in the opposite order.
    atexit.register(till.close)
    atexit.register(ledger.stop)
