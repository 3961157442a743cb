"""Webhooks whose receiver fails: asked again and again, until events arrive or nobody is left to hope."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.access import Caller
from accounts.models import AuditEntry, Event, Workspace
from keys import tasks
from keys.models import Webhook, WebhookDelivery
from keys.webhooks import sending
from tests.api_client import ApiClient
from tests.keys.receiver import PATH, Receiver, happen, let_time_pass, only


def test_a_receiver_that_never_answers_takes_one_place_and_is_spared_for_a_while(
    api: ApiClient, workspace: Workspace, stranger: Caller, receiver: Receiver
) -> None:
    """Many messages to one that hangs must not hold up those of other workspaces."""
    dead = api.post(PATH, url="http://localhost:1/hook").json["id"]
    ApiClient.of(stranger).post(PATH, url=receiver.hook)
    for number in range(sending.BATCH + 4):
        happen(workspace, f"event {number}")
    happen(stranger.workspace)

    tasks.deliver_webhooks()

    assert len(receiver.got) == 1
    deliveries = WebhookDelivery.objects.filter(webhook=dead)
    assert sum(delivery.attempts for delivery in deliveries) == 1
    assert all(delivery.next_attempt_at > timezone.now() for delivery in deliveries)
    let_time_pass(seconds=10)
    assert len(sending._claim()) == 1


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_a_receiver_that_fails_is_asked_again_after_growing_pauses(
    workspace: Workspace, receiver: Receiver, made: dict[str, Any], status: int
) -> None:
    receiver.status = status
    happen(workspace)
    pauses = []
    for _ in range(3):
        tasks.deliver_webhooks()
        delivery = only()
        pauses.append((delivery.next_attempt_at - timezone.now()).total_seconds())
        assert (delivery.state, delivery.last_status) == ("pending", status)
        assert str(status) in delivery.last_error
        let_time_pass(hours=1)
    assert [round(pause, -1) for pause in pauses] == [0, 60, 300]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len(receiver.got) == 3  # a redirect is not followed

    receiver.status = 204
    tasks.deliver_webhooks()

    assert (only().state, only().attempts) == ("delivered", 4)
    assert Webhook.objects.get().failing_since is None


def test_hope_is_given_up_after_the_last_pause(workspace: Workspace, receiver: Receiver, made: dict[str, Any]) -> None:
    receiver.status = 500
    happen(workspace)
    for _ in range(len(sending.PAUSES) + 3):
        tasks.deliver_webhooks()
        let_time_pass(days=1)

    assert (only().state, only().attempts) == ("failed", len(sending.PAUSES) + 1)
    assert len(receiver.got) == len(sending.PAUSES) + 1


def test_nobody_listens(api: ApiClient, workspace: Workspace, receiver: Receiver) -> None:
    api.post(PATH, url="http://localhost:9/hook")
    happen(workspace)

    tasks.deliver_webhooks()

    assert (only().state, only().last_status) == ("pending", None)
    assert "refused" in only().last_error


def test_an_address_that_became_private_is_not_connected_to(
    workspace: Workspace, receiver: Receiver, made: dict[str, Any], settings: Settings
) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ()
    happen(workspace)

    tasks.deliver_webhooks()

    assert receiver.got == []
    assert "private address" in only().last_error


def test_a_day_of_failures_switches_it_off(
    api: ApiClient, workspace: Workspace, receiver: Receiver, made: dict[str, Any]
) -> None:
    watching = api.post(PATH, url=f"{receiver.url}/watch", kinds=["webhook.disabled"]).json
    receiver.status = 500
    happen(workspace)
    tasks.deliver_webhooks()
    Webhook.objects.filter(pk=made["id"]).update(failing_since=timezone.now() - timedelta(hours=25))
    let_time_pass(hours=25)

    tasks.deliver_webhooks()

    off = api.get(PATH).json["data"][1]
    assert (off["id"], off["enabled"]) == (made["id"], False)
    assert "Nothing has arrived since" in off["disabled_because"]
    event = Event.objects.get(kind="webhook.disabled")
    assert event.data == {"webhook_id": made["id"], "host": "localhost", "reason": off["disabled_because"]}
    assert WebhookDelivery.objects.get(event=event).webhook_id.hex == watching["id"].replace("-", "")
    happen(workspace, "another")
    assert WebhookDelivery.objects.filter(webhook=made["id"]).count() == 1

    entry = AuditEntry.objects.get(action="webhook.changed")
    assert (entry.object_id, entry.actor) == (made["id"], "")
    assert entry.old == {"enabled": True, "disabled_because": ""}
    assert entry.new == {"enabled": False, "disabled_because": off["disabled_because"]}

    again = api.patch(f"{PATH}/{made['id']}", enabled=True).json
    assert (again["enabled"], again["disabled_because"], again["failing_since"]) == (True, None, None)


def test_a_receiver_that_is_gone_is_left_alone(workspace: Workspace, receiver: Receiver, made: dict[str, Any]) -> None:
    receiver.status = 410
    happen(workspace)

    tasks.deliver_webhooks()

    webhook = Webhook.objects.get()
    assert (webhook.enabled, only().state) == (False, "failed")
    assert "gone" in webhook.disabled_because


def test_an_attempt_of_a_worker_that_died_is_made_again(
    workspace: Workspace, receiver: Receiver, made: dict[str, Any]
) -> None:
    happen(workspace)
    assert len(sending._claim()) == 1
    tasks.deliver_webhooks()
    assert receiver.got == []  # somebody else is at it

    let_time_pass(seconds=sending.LEASE.total_seconds())
    tasks.deliver_webhooks()

    assert len(receiver.got) == 1


def test_a_secret_that_does_not_open_fails_alone(
    api: ApiClient, workspace: Workspace, receiver: Receiver, made: dict[str, Any]
) -> None:
    broken = api.post(PATH, url=f"{receiver.hook}/2").json["id"]
    Webhook.objects.filter(pk=broken).update(secret=b"junk")
    happen(workspace)

    tasks.deliver_webhooks()

    assert len(receiver.got) == 1
    assert "does not open" in WebhookDelivery.objects.get(webhook=broken).last_error
    assert api.post(f"{PATH}/{broken}/rotate").status == 201


def test_switching_it_off_fails_what_is_on_its_way(
    api: ApiClient, workspace: Workspace, receiver: Receiver, made: dict[str, Any]
) -> None:
    happen(workspace)
    api.patch(f"{PATH}/{made['id']}", enabled=False)
    assert (only().state, only().last_error) == ("failed", "The webhook was switched off.")
    tasks.deliver_webhooks()
    assert receiver.got == []


def test_old_deliveries_leave_the_log(workspace: Workspace, made: dict[str, Any]) -> None:
    happen(workspace)
    WebhookDelivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    tasks.delete_old_deliveries()
    assert only().state == "pending"
    WebhookDelivery.objects.update(state="failed")
    tasks.delete_old_deliveries()
    assert not WebhookDelivery.objects.exists()
