"""Events by e-mail, to owners and admins, when the operator has set up mail."""

import socket
import threading
from collections.abc import Callable, Iterator
from email import message_from_string
from typing import Any

import pytest
from celery.exceptions import Retry
from pytest_django import Settings

from accounts import events, mail, tasks
from accounts.access import Caller
from accounts.models import Event, Membership, Workspace

DATA = {
    "scope": "key", "id": "x", "name": "Support\nchatbot", "percent": 100, "period": "day", "budget_usd": "10",
    "spent_usd": "10.25", "renews_at": "2026-12-01T00:00:00Z",
}  # fmt: skip


class Mailbox:
    """An SMTP server (RFC 5321) that takes every message."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.messages: list[tuple[str, Any]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rw", newline="\r\n") as lines:
                self._talk(lines)

    def _talk(self, lines: Any) -> None:
        def say(text: str) -> None:
            lines.write(text + "\r\n")
            lines.flush()

        say("220 mailbox")
        reader = ""
        for line in lines:
            command = line.strip()
            if command.upper().startswith("RCPT TO:"):
                reader = command[8:].strip("<> ")
            if command.upper() == "QUIT":
                say("221 bye")
                return
            if command.upper() != "DATA":
                say("250 fine")
                continue
            say("354 go on")
            body = []
            while (text := lines.readline().rstrip("\r\n")) != ".":
                body.append(text)
            self.messages.append((reader, message_from_string("\n".join(body))))
            say("250 taken")


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    """Mail is set up, as EMAIL_URL=smtp://127.0.0.1:<port> does."""
    box = Mailbox()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", box.port, 5
    yield box
    box.socket.close()


Sent = list[tuple[str, tuple[str, ...]]]


@pytest.fixture
def sent() -> Iterator[Sent]:
    """The tasks that were sent, with their arguments."""
    from celery.signals import before_task_publish

    found: Sent = []

    def note(sender: str, body: Any, **_: Any) -> None:
        found.append((sender, tuple(body[0])))

    before_task_publish.connect(note)
    yield found
    before_task_publish.disconnect(note)


def happen(workspace: Workspace, committed: Callable[..., Any]) -> Event:
    with committed(execute=True):
        event = events.raise_event(workspace.pk, "budget.threshold", "once", DATA)
    assert event is not None
    return event


def test_owners_and_admins_are_written_to(
    owner: Caller, admin: Caller, member: Caller, mailbox: Mailbox, sent: Sent, django_capture_on_commit_callbacks: Any
) -> None:
    event = happen(owner.workspace, django_capture_on_commit_callbacks)

    people = [Membership.objects.get(user=caller.user, workspace=owner.workspace) for caller in (owner, admin)]
    wanted = [("accounts.tasks.mail_event", (str(event.pk), str(person.pk))) for person in people]
    assert [task for task in sent if task[0].startswith("accounts.")] == wanted
    for _, arguments in wanted:
        tasks.mail_event(*arguments)

    assert [reader for reader, _ in mailbox.messages] == [owner.user.email, admin.user.email]
    message = mailbox.messages[0][1]
    assert message["to"] == owner.user.email
    assert message["subject"].replace("\n ", " ") == (
        f"Support chatbot has spent its whole budget ({owner.workspace.name})"
    )
    body = message.get_payload()
    assert "$10.25 of $10.00 today. It renews on 1 Dec 2026." in body
    assert "http://127.0.0.1:8000/console/events/" in body


def test_a_flood_of_budget_events_is_mailed_up_to_a_bound(
    owner: Caller, mailbox: Mailbox, sent: Sent, django_capture_on_commit_callbacks: Any
) -> None:
    """Who may set a budget back could have a workspace's people written to without end."""
    with django_capture_on_commit_callbacks(execute=True):
        for number in range(mail.BUDGETS_AN_HOUR + 5):
            events.raise_event(owner.workspace.pk, "budget.threshold", f"flood:{number}", DATA)
        events.raise_event(owner.workspace.pk, "provider.refused", "other", {"name": "p", "reason": "401"})
    mails = [arguments for task, arguments in sent if task == "accounts.tasks.mail_event"]
    assert len(mails) == mail.BUDGETS_AN_HOUR + 1

    for arguments in mails:
        tasks.mail_event(*arguments)
    last = [number for number, (_, each) in enumerate(mailbox.messages) if "many such events" in each.get_payload()]
    assert last == [mail.BUDGETS_AN_HOUR - 1]


def test_without_a_server_nothing_is_sent(
    workspace: Workspace, settings: Settings, sent: Sent, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_BACKEND = mail.NO_MAIL  # pytest-django's own is another
    happen(workspace, django_capture_on_commit_callbacks)

    assert not [task for task in sent if task[0].startswith("accounts.")]


def test_who_is_gone_is_not_written_to(
    owner: Caller, mailbox: Mailbox, django_capture_on_commit_callbacks: Any
) -> None:
    event = happen(owner.workspace, django_capture_on_commit_callbacks)
    membership = Membership.objects.get(user=owner.user, workspace=owner.workspace)
    id = str(membership.pk)
    membership.delete()

    tasks.mail_event(str(event.pk), id)

    assert mailbox.messages == []


def test_a_server_that_is_away_is_tried_again(
    owner: Caller, mailbox: Mailbox, settings: Settings, sent: Sent, django_capture_on_commit_callbacks: Any
) -> None:
    event = happen(owner.workspace, django_capture_on_commit_callbacks)
    membership = Membership.objects.get(user=owner.user, workspace=owner.workspace)
    mailbox.socket.close()
    settings.EMAIL_PORT = 9

    with pytest.raises((Retry, RuntimeError)):
        tasks.mail_event.apply(args=(str(event.pk), str(membership.pk)), throw=True)
