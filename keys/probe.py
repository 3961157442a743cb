"""What asking a provider found out. Who asks is registered at start: `keys` does not know how providers are called."""

from collections.abc import Callable
from dataclasses import dataclass

from keys.kinds import Kind
from keys.vault import Secret


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether a provider answers; `error` says in plain words what is wrong, and holds no secret."""

    ok: bool
    latency_ms: int
    models: tuple[str, ...] = ()
    error: str = ""


# (kind, API base, secret, seconds it may take)
Prober = Callable[[Kind, str, Secret | None, float], ProbeResult]

_prober: Prober | None = None


def register_prober(prober: Prober) -> None:
    """Have `prober` ask the providers of this process."""
    global _prober
    _prober = prober


def probe(kind: Kind, base_url: str, secret: Secret | None, timeout: float) -> ProbeResult:
    """Ask a provider how it is, for at most `timeout` seconds. Raises `RuntimeError` when nobody is registered."""
    if _prober is None:
        raise RuntimeError("no prober is registered; routing/apps.py does that")
    return _prober(kind, base_url, secret, timeout)
