"""What accounts do by the clock."""

from datetime import timedelta

from django.utils import timezone

from accounts import tokens
from accounts.access import Caller
from accounts.models import ApiSession
from accounts.tasks import delete_expired_sessions
from gateway_project.celery import app


def test_the_clock_deletes_expired_sessions(owner: Caller) -> None:
    tokens.start_session(owner.user)
    ApiSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    living = tokens.start_session(owner.user)

    delete_expired_sessions()

    assert tokens.session_of(living.access) == ApiSession.objects.get()


def test_it_is_scheduled() -> None:
    app.loader.import_default_modules()

    assert delete_expired_sessions.name in {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert delete_expired_sessions.name in app.tasks
