"""The audit trail: every change of what a workspace is made of, written in the transaction that makes the change.

Services call `record`, or wrap a change in `changes`. Secrets are given as fingerprints (`keys.vault.fingerprint`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import Model

from accounts import origin
from accounts.access import Caller
from accounts.models import AuditEntry, User, Workspace
from gateway_project.lib.schemas import money

M = TypeVar("M", bound=Model)
Facts = dict[str, Any]

# The kinds of objects, which actions begin with, as a reader knows them.
KINDS: Final = {
    "key": "Gateway keys",
    "provider": "Providers",
    "policy": "Policies",
    "model": "Models",
    "member": "Members",
    "workspace": "Workspace",
    "webhook": "Webhooks",
    "cache": "Cache",
    "library": "Libraries",
    "document": "Documents",
    "user": "Accounts",
}

NAME_LENGTH = 420


def record(
    caller: Caller | None,
    action: str,
    obj: Model | str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    workspace: Workspace | None = None,
) -> AuditEntry | None:
    """Enter `action` (`key.created`) on `obj`, a row or a name, in the trail of the caller's workspace.

    `old` and `new` are facts without secrets; of a change (both given) only what differs is kept, and where nothing
    does nothing is entered, and None returned. Without `caller` it is `workspace`'s, by whom Django's session names
    (the administration) or by the installation itself. Call it within the transaction of the change.
    """
    source = origin.current()
    if caller is not None:
        return _enter(source, caller.user, caller.workspace, action, obj, old, new)
    return _enter(source, source.user, workspace, action, obj, old, new)


def record_account(user: User, action: str, **facts: Any) -> None:
    """Enter what somebody did with their account, which belongs to no workspace: only the operator reads that."""
    _enter(origin.current(), user, None, action, user, None, facts or None)


@contextmanager
def changes(caller: Caller | None, action: str, row: M, facts: Callable[[M], Facts], **more: Any) -> Iterator[None]:
    """Record how the block changes what `facts` says of `row`; nothing when it says the same, or the block fails."""
    old = facts(row)
    yield
    record(caller, action, row, old=old, new=facts(row), **more)


def _enter(
    source: origin.Origin,
    actor: User | None,
    workspace: Workspace | None,
    action: str,
    obj: Model | str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
) -> AuditEntry | None:
    if action.partition(".")[0] not in KINDS:
        raise ValueError(f"{action} names no kind of object")
    before, after = _plain_facts(old), _plain_facts(new)
    if before is not None and after is not None:
        different = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        if not different:
            return None
        before, after = ({name: facts.get(name) for name in different} for facts in (before, after))
    else:
        before, after = _set_ones(before), _set_ones(after)
    return AuditEntry.objects.create(
        workspace=workspace,
        actor_id=actor.pk if actor is not None else None,
        actor=actor.email if actor is not None else "",
        via=source.via,
        address=source.address,
        user_agent=source.user_agent,
        request_id=source.request_id,
        action=action,
        object_id=str(obj.pk if isinstance(obj, Model) else obj)[:NAME_LENGTH],
        object_name=str(getattr(obj, "audit_name", obj))[:NAME_LENGTH],
        old=before,
        new=after,
    )


def _plain_facts(facts: Mapping[str, Any] | None) -> Facts | None:
    return None if facts is None else {name: _plain(value) for name, value in facts.items()}


def _set_ones(facts: Facts | None) -> Facts | None:
    """Of what was made or ended, the facts that say something."""
    return None if facts is None else {name: value for name, value in facts.items() if value not in (None, "", [], {})}


def _plain(value: Any) -> Any:
    """`value` as JSON. Raises TypeError for what has no place here, such as ciphertext."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str | UUID):
        return str(value)
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    raise TypeError(f"{type(value).__name__} has no place in the audit trail")
