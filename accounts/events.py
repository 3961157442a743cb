"""What a workspace's people hear of: raised once, shown in the console, and sent on by whoever listens.

Whoever sends events on (the workspace's webhooks in `keys`, e-mail in `accounts.mail`) listens to `event_raised`.
"""

from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.dispatch import Signal
from django.utils import timezone

from accounts.models import Event
from gateway_project.lib.ids import uuid7

# The kinds of events, as webhooks subscribe to them, and what each one is for a reader.
KINDS: Final = {
    "budget.threshold": "A budget reached 50, 80 or 100 percent",
    "budget.refused": "A budget had too little left for a request, for the first time in its period",
    "webhook.disabled": "A webhook was switched off because its receiver kept failing",
    "provider.refused": "A provider refuses its stored secret",
}

# The same for API docs.
LISTED: Final = "; ".join(f"`{kind}`: {what}" for kind, what in KINDS.items())

# Sent with `event=`, inside the transaction that writes it; receivers do the slow part on its commit.
event_raised = Signal()

# The workspace's row is held against deletion until the commit, so that an event of a workspace that has just gone is
# passed over instead of failing whoever raised it.
_INSERT = """
INSERT INTO accounts_event (id, workspace_id, kind, once_key, data, created_at)
SELECT %s, id, %s, %s, %s, %s FROM accounts_workspace WHERE id = %s FOR KEY SHARE
ON CONFLICT (workspace_id, once_key) DO NOTHING
"""


def raise_event(workspace_id: str | UUID, kind: str, once_key: str, data: dict[str, Any]) -> Event | None:
    """Tell a workspace's people of something, once: of several raises with one `once_key` the first counts.

    `kind` is one of `KINDS`; `data` is JSON that holds no secret (webhooks carry it). Returns None when it was raised
    before, or when there is no such workspace. Works on this thread's connection to Postgres: never on the event loop.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind} is no kind of event")
    event = Event(id=uuid7(), workspace_id=workspace_id, kind=kind, once_key=once_key, created_at=timezone.now())
    event.data = data
    field = Event._meta.get_field("data")
    with transaction.atomic():
        with connection.cursor() as cursor:
            json = field.get_db_prep_value(data, connection)
            cursor.execute(_INSERT, [event.id, kind, once_key, json, event.created_at, workspace_id])
            if not cursor.rowcount:
                return None
        event._state.adding = False
        event_raised.send(Event, event=event)
    return event
