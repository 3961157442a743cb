"""Events by e-mail, to a workspace's owners and admins, where the operator has set `EMAIL_URL`."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse

from accounts.models import Event, Membership, Role
from accounts.wording import words_of

NO_MAIL = "django.core.mail.backends.dummy.EmailBackend"
# People of a workspace that are written to at most.
MOST = 50
# Mails about budgets that a workspace's people get in an hour at most: budgets can be set back again and again.
BUDGETS_AN_HOUR = 20


def configured() -> bool:
    """Whether mail can be sent at all."""
    return bool(settings.EMAIL_BACKEND != NO_MAIL)


def enter_event(event: Event, **_: Any) -> None:
    """Have each owner and admin written to once the event is committed; receives `accounts.events.event_raised`.

    A task each, so that a mail that fails is sent again to its own reader alone.
    """
    from accounts.tasks import mail_event

    if not configured() or _budgets_in_hour(event) > BUDGETS_AN_HOUR:
        return
    people = Membership.objects.filter(
        workspace=event.workspace_id, role__in=(Role.OWNER, Role.ADMIN), user__is_active=True
    )
    for id in people.order_by("created_at", "id").values_list("pk", flat=True)[:MOST]:
        # A broker that is away must not fail what raised the event; the console shows it all the same.
        transaction.on_commit(lambda id=id: mail_event.delay(str(event.pk), str(id)), robust=True)  # type: ignore[misc]


def send(event: Event, reader: Membership) -> None:
    """Write to `reader` what happened. Raises OSError or SMTPException."""
    words = words_of(event)
    # A name may hold a line break, which no subject may.
    subject = " ".join(f"{words.title} ({event.workspace.name})".split())
    more = ""
    if _budgets_in_hour(event) == BUDGETS_AN_HOUR:
        more = "There were many such events in the last hour; until there are fewer, the console alone shows them."
    lines = (f"{words.title}.", words.text, more, f"{settings.PUBLIC_URL}{reverse('events')}")
    EmailMessage(subject, "\n\n".join(line for line in lines if line), to=[reader.user.email]).send()


def _budgets_in_hour(event: Event) -> int:
    """How many events of the workspace's budgets there were in the hour up to `event`, with it; 0: it is none."""
    if not event.kind.startswith("budget."):
        return 0
    hour = (event.created_at - timedelta(hours=1), event.created_at)
    recent = Event.objects.filter(workspace=event.workspace_id, created_at__range=hour, kind__startswith="budget.")
    return recent[: BUDGETS_AN_HOUR + 1].count()
