"""What keys do in the background: getting events to webhooks."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from keys.models import WebhookDelivery
from keys.webhooks import sending

# The log of deliveries goes back as far.
KEPT = timedelta(days=30)


@shared_task  # type: ignore[untyped-decorator]
def deliver_webhooks() -> None:
    """Attempt the deliveries that are due, whoever put them on their way."""
    sending.deliver_due()


@shared_task  # type: ignore[untyped-decorator]
def delete_old_deliveries() -> None:
    """Remove from the log what arrived, or was given up, long ago."""
    old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - KEPT)
    old.exclude(state=WebhookDelivery.State.PENDING).delete()
