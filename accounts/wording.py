"""Events and changes in the words of the console, of mails and of the API."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.models import AuditEntry, Event
from gateway_project.lib.format import money


@dataclass(frozen=True)
class Words:
    """What happened in one line, what else is to be said of it, and how bad it is: `info`, `warning` or `error`."""

    title: str
    text: str = ""
    level: str = "info"


# --- Events --------------------------------------------------------------------------------------

_PERIODS = {"day": "today", "week": "this week", "month": "this month"}


def words_of(event: Event) -> Words:
    """What a person reads of `event`. A kind of another version is told by its name."""
    data: dict[str, Any] = event.data
    match event.kind:
        case "budget.threshold":
            return _budget(data)
        case "budget.refused":
            return _refused(data)
        case "webhook.disabled":
            return Words(f"The webhook to {data.get('host')} was switched off", str(data.get("reason", "")), "error")
        case "provider.refused":
            return Words(f"{data.get('name')} refuses its key", str(data.get("reason", "")), "error")
    return Words(event.kind)


def _budget(data: dict[str, Any]) -> Words:
    percent, whose = int(data["percent"]), "their" if data["scope"] == "user" else "its"
    share = f"{whose} whole budget" if percent >= 100 else f"{percent}% of {whose} budget"
    spent, budget = money(Decimal(data["spent_usd"])), money(Decimal(data["budget_usd"]))
    text = f"{spent} of {budget} {_PERIODS.get(data['period'], 'in all')}."
    text += _renewal(data)
    level = "error" if percent >= 100 else "warning" if percent >= 80 else "info"
    return Words(f"{data['name']} has spent {share}", text, level)


def _refused(data: dict[str, Any]) -> Words:
    whose = "their" if data["scope"] == "user" else "its"
    limit, spent, reserved, needed = (
        money(Decimal(data[f"{name}_usd"])) for name in ("limit", "spent", "reserved", "needed")
    )
    text = (
        f"Of {limit} {_PERIODS.get(data['period'], 'in all')}, {spent} was spent and {reserved} reserved by requests "
        f"under way; this one could have cost {needed}." + _renewal(data)
    )
    return Words(f"A request of {data['name']} was refused: it did not fit in {whose} budget", text, "error")


def _renewal(data: dict[str, Any]) -> str:
    if not data.get("renews_at"):
        return ""
    renews = datetime.fromisoformat(data["renews_at"]).astimezone(UTC)
    return f" It renews on {renews.day} {renews:%b %Y}."


# --- The audit trail -----------------------------------------------------------------------------

_OBJECTS = {"key": "gateway key", "member": "member", "model": "model", "cache": "cache", "user": "account"}
_DONE = {
    "created": "created the",
    "changed": "changed the",
    "removed": "removed the",
    "added": "added the",
    "revoked": "revoked the",
    "rotated": "gave a new secret to the",
    "rolled_back": "rolled back the",
    "purged": "purged the",
    "budget_reset": "reset the budget of the",
}


def sentence_of(entry: AuditEntry) -> str:
    """What was done, without who did it and the object's name: `changed the gateway key`."""
    kind, _, done = entry.action.partition(".")
    return f"{_DONE.get(done, done.replace('_', ' ') + ' the')} {_OBJECTS.get(kind, kind)}"


@dataclass(frozen=True)
class Difference:
    """A field as it was and as it became; None: it was not set."""

    name: str
    old: str | None
    new: str | None


def differences(entry: AuditEntry) -> list[Difference]:
    """What `entry` changed, field by field; fields within fields by their path."""
    old, new = _flat(entry.old or {}), _flat(entry.new or {})
    names = dict.fromkeys([*old, *new])
    changed = [name for name in names if old.get(name) != new.get(name)]
    return [Difference(name, old.get(name), new.get(name)) for name in changed]


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, value in facts.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = _text(value)
    return flat


def _text(value: Any) -> str | None:
    if value in (None, "", []):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)
