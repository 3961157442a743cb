"""What accounts do in the background and by the clock."""

from smtplib import SMTPException
from typing import Any

from celery import shared_task

from accounts import mail, services
from accounts.models import Event, Membership

# Seconds between the attempts to send a mail.
PAUSES = (10, 60, 300, 900)


@shared_task  # type: ignore[untyped-decorator]
def delete_expired_sessions() -> None:
    services.delete_expired_sessions()


@shared_task(bind=True, max_retries=len(PAUSES))  # type: ignore[untyped-decorator]
def mail_event(self: Any, event_id: str, membership_id: str) -> None:
    """Write to a member what happened, unless the event or the member is gone by now."""
    event = Event.objects.select_related("workspace").filter(pk=event_id).first()
    reader = Membership.objects.select_related("user").filter(pk=membership_id).first()
    if event is None or reader is None:
        return
    try:
        mail.send(event, reader)
    except (OSError, SMTPException) as failure:
        # Its words may quote the server's, and what was sent to it.
        wait = PAUSES[min(self.request.retries, len(PAUSES) - 1)]
        raise self.retry(countdown=wait, exc=RuntimeError(f"mail failed: {type(failure).__name__}")) from None
