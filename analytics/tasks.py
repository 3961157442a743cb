"""What the ledger does by the clock."""

from celery import shared_task

from analytics import retention


@shared_task  # type: ignore[untyped-decorator]
def keep_ledger() -> None:
    """Make months ahead, and drop what is past its retention."""
    retention.keep()
