"""What accounts do by the clock."""

from celery import shared_task

from accounts import services


@shared_task  # type: ignore[untyped-decorator]
def delete_expired_sessions() -> None:
    services.delete_expired_sessions()
