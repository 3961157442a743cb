"""Reads of what happened in a workspace: its audit trail and its events."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.access import Action, Caller, require, scoped
from accounts.models import AuditEntry, Event, Membership

# Who did what nobody did: the installation, by its variables or by the clock.
SYSTEM = "system"
# More than so many unread events are not counted.
MANY = 100


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


def unread_events(caller: Caller) -> int:
    """How many of the workspace's events the caller has not seen yet, `MANY` at most. One query."""
    own = Membership.objects.filter(user=caller.user, workspace=caller.workspace)
    seen = own.values(at=Coalesce("events_seen_at", "created_at"))
    return scoped(Event.objects.filter(created_at__gt=Subquery(seen)), caller)[:MANY].count()


def see_events(caller: Caller) -> datetime:
    """Note that the caller sees all events up to now; until when they had seen them before."""
    membership = Membership.objects.get(user=caller.user, workspace=caller.workspace)
    before = membership.events_seen_at or membership.created_at
    membership.events_seen_at = timezone.now()
    membership.save(update_fields=["events_seen_at"])
    return before


def _actor(text: str) -> Q:
    if text == SYSTEM:
        return Q(actor_id=None)
    try:
        return Q(actor_id=UUID(text))
    except ValueError:
        return Q(actor=text.strip().lower())
