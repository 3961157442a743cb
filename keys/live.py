"""What the request path knows that the pages here show. Who knows is registered at start: `keys` does not."""

from collections.abc import Callable, Sequence

from accounts.models import Workspace

# workspace → by provider id, in whose words the provider refuses the stored secret
Refusals = Callable[[Workspace], dict[str, str]]
# (workspace, names of models) → those that no provider of the workspace lists
Unserved = Callable[[Workspace, Sequence[str]], list[str]]

# Names that a note spells out.
SAID = 3

_refusals: Refusals | None = None
_unserved: Unserved | None = None


def register_live(refusals: Refusals, unserved: Unserved) -> None:
    """Have `refusals` say which providers refuse their secret, and `unserved` which models nobody lists."""
    global _refusals, _unserved
    _refusals, _unserved = refusals, unserved


def refused_secrets(workspace: Workspace) -> dict[str, str]:
    """By the id of each provider of the workspace that refuses its stored secret: why, for a person."""
    return _refusals(workspace) if _refusals is not None else {}


def unserved_note(workspace: Workspace, names: Sequence[str]) -> str:
    """A sentence about those of `names` that mean no model here, to be said after they were saved; "" for none."""
    unknown = _unserved(workspace, names) if names and _unserved is not None else []
    plain = [name for name in unknown if "*" not in name]
    said = []
    if plain:
        more = f" and {len(plain) - SAID} more" if len(plain) > SAID else ""
        said.append(f"no provider here lists {', '.join(plain[:SAID])}{more}")
    if len(plain) < len(unknown):
        said.append("* is not a wildcard")
    words = "; ".join(said)
    return f"{words[:1].upper()}{words[1:]}." if words else ""
