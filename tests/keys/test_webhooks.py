"""Webhooks: events reach a real receiver, signed, once each; what became of them is in the log."""

import base64
import hashlib
import hmac
import json
from typing import Any

from django.utils import timezone
from pytest_django import Settings

from accounts.access import Caller
from accounts.models import Workspace
from gateway_project.celery import app
from keys import tasks
from keys.models import WebhookDelivery
from tests.api_client import ApiClient
from tests.keys.receiver import DATA, PATH, Receiver, happen, only

# --- It arrives ----------------------------------------------------------------------------------


def test_an_event_arrives_signed(workspace: Workspace, receiver: Receiver, made: dict[str, Any]) -> None:
    event = happen(workspace)

    tasks.deliver_webhooks()

    [(headers, body)] = receiver.got
    message = json.loads(body)
    assert (message["type"], message["data"], message["id"]) == ("budget.threshold", DATA, str(event.pk))
    assert message["workspace_id"] == str(workspace.pk)
    assert headers["content-type"] == "application/json"
    # As a receiver checks it, by the specification's own words.
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    assert len(key) >= 24
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - timezone.now().timestamp()) < 5
    delivery = only()
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
    assert delivery.delivered_at is not None


def test_what_arrived_is_not_sent_again(workspace: Workspace, receiver: Receiver, made: dict[str, Any]) -> None:
    happen(workspace)
    for _ in range(3):
        tasks.deliver_webhooks()
    assert len(receiver.got) == 1


def test_only_wanted_kinds_of_the_own_workspace_are_sent(
    api: ApiClient, workspace: Workspace, stranger: Caller, receiver: Receiver
) -> None:
    assert api.post(PATH, url=f"{receiver.hook}/1", kinds=["webhook.disabled"]).status == 201
    assert api.post(PATH, url=f"{receiver.hook}/2", enabled=False).status == 201
    happen(stranger.workspace)
    happen(workspace)

    tasks.deliver_webhooks()

    assert receiver.got == []
    assert not WebhookDelivery.objects.exists()


def test_raising_an_event_sends_the_task_without_arguments(
    workspace: Workspace, made: dict[str, Any], settings: Settings, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[Any] = []

    def note(sender: str, body: Any, **_: Any) -> None:
        sent.append((sender, body))

    from celery.signals import before_task_publish

    before_task_publish.connect(note)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            happen(workspace)
    finally:
        before_task_publish.disconnect(note)

    [(name, (args, kwargs, _))] = [message for message in sent if message[0].startswith("keys.")]
    assert (name, list(args), kwargs) == ("keys.tasks.deliver_webhooks", [], {})


def test_it_is_swept_by_the_clock() -> None:
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert {"keys.tasks.deliver_webhooks", "keys.tasks.delete_old_deliveries"} <= scheduled
