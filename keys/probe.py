"""What asking a provider found out. Who asks is registered at start: `keys` does not know how providers are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from keys.kinds import Kind
from keys.vault import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """What a provider's own list says of a model; None: nothing. Windows are tokens, rates USD per token."""

    context_window: int | None = None
    max_output: int | None = None
    # Of vision, audio, tools, json, reasoning.
    capabilities: frozenset[str] | None = None
    input_rate: Decimal | None = None
    cached_input_rate: Decimal | None = None
    output_rate: Decimal | None = None

    def as_json(self) -> dict[str, Any]:
        """What it says, for the database."""
        said = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: _plain(value) for name, value in said if value is not None}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "ListedModel":
        """The reverse of `as_json`."""
        return cls(**{name: _READ[name](value) for name, value in said.items() if name in _READ})


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return f"{value:f}" if isinstance(value, Decimal) else value


_READ: Mapping[str, Callable[[Any], Any]] = {
    "context_window": int, "max_output": int, "capabilities": frozenset, "input_rate": Decimal,
    "cached_input_rate": Decimal, "output_rate": Decimal,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether a provider answers; `error` says in plain words what is wrong, and holds no secret."""

    ok: bool
    latency_ms: int
    models: tuple[str, ...] = ()
    error: str = ""
    # The models that it holds in memory; None where it does not say.
    loaded: tuple[str, ...] | None = None
    # What it said of its models beyond their names, of those of which it said anything.
    listed: Mapping[str, ListedModel] = field(default_factory=dict)
    # Whether it is there and takes not this secret.
    refused: bool = False


# (kind, API base, secret, seconds it may take, whether it is to be local)
Prober = Callable[[Kind, str, Secret | None, float, bool], ProbeResult]

_prober: Prober | None = None


def register_prober(prober: Prober) -> None:
    """Have `prober` ask the providers of this process."""
    global _prober
    _prober = prober


def probe(kind: Kind, base_url: str, secret: Secret | None, timeout: float, *, local: bool = False) -> ProbeResult:
    """Ask a provider how it is, for at most `timeout` seconds; one that is to be `local` at no public address.

    Raises `RuntimeError` when nobody is registered.
    """
    if _prober is None:
        raise RuntimeError("no prober is registered; routing/apps.py does that")
    return _prober(kind, base_url, secret, timeout, local)
