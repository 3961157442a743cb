"""Reads of what happened in a workspace: its audit trail and its events."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.access import Action, Caller, require, scoped
from accounts.models import AuditEntry

# Who did what nobody did: the installation, by its variables or by the clock.
SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class AuditFilters:
    """Which entries; "" and None: any.

    `actor` is a user's id, their address, or `SYSTEM`; `action` one such as `key.created`, or the kind of object that
    it begins with; `object` an id or a name. Times are UTC, `since` included and `until` not.
    """

    actor: str = ""
    action: str = ""
    object: str = ""
    since: datetime | None = None
    until: datetime | None = None


def audit_entries(caller: Caller, filters: AuditFilters) -> QuerySet[AuditEntry]:
    """The workspace's trail. Raises PermissionDenied for who may not read it."""
    require(caller, Action.READ_AUDIT)
    entries = scoped(AuditEntry.objects.all(), caller)
    if filters.actor:
        entries = entries.filter(_actor(filters.actor))
    if filters.action:
        kind = filters.action.rstrip(".")
        entries = entries.filter(Q(action=kind) | Q(action__startswith=f"{kind}."))
    if filters.object:
        entries = entries.filter(Q(object_id=filters.object) | Q(object_name=filters.object))
    if filters.since:
        entries = entries.filter(created_at__gte=filters.since)
    if filters.until:
        entries = entries.filter(created_at__lt=filters.until)
    return entries


def _actor(text: str) -> Q:
    if text == SYSTEM:
        return Q(actor_id=None)
    try:
        return Q(actor_id=UUID(text))
    except ValueError:
        return Q(actor=text.strip().lower())
