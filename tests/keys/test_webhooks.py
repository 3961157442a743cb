"""Webhooks: events reach a real receiver, signed, again and again until they arrive or nobody is left to hope."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import events
from accounts.access import Caller
from accounts.models import AuditEntry, Event, Membership, Workspace
from gateway_project.celery import app
from keys import tasks, vault
from keys.models import Webhook, WebhookDelivery
from keys.webhooks import sending, services
from tests.api_client import ApiClient
from tests.keys.server import Server

PATH = "/api/webhooks"
DATA = {"scope": "key", "name": "Support chatbot", "percent": 80, "limit_usd": "10", "spent_usd": "8"}


class Receiver(Server):
    """A webhook's receiver: answers `/hook` with `status`, keeps what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def hook(self) -> str:
        return f"{self.url}/hook"

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        if self.status == 302:
            return web.Response(status=302, headers={"location": f"{self.url}/elsewhere"})
        return web.Response(status=self.status, text="thanks")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def made(api: ApiClient, receiver: Receiver) -> dict[str, Any]:
    """A webhook to the receiver, with its secret."""
    answer = api.post(PATH, url=receiver.hook)
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json
    return made


def happen(workspace: Workspace, key: str = "budget:1:80") -> Event:
    event = events.raise_event(workspace.pk, "budget.threshold", key, DATA)
    assert event is not None
    return event


def let_time_pass(**span: float) -> None:
    """What is to be tried again is due."""
    for delivery in WebhookDelivery.objects.filter(state="pending"):
        delivery.next_attempt_at -= timedelta(**span)
        delivery.save()


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


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


# --- It does not ---------------------------------------------------------------------------------


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


# --- The API -------------------------------------------------------------------------------------


def test_the_secret_is_shown_once_and_kept_sealed(api: ApiClient, made: dict[str, Any]) -> None:
    webhook = Webhook.objects.get()
    assert vault.open_(webhook.secret).reveal() == made["secret"]
    assert made["secret"].encode() not in bytes(webhook.secret)
    listed = api.get(PATH)
    assert made["secret"] not in listed.text
    assert listed.json["data"] == [{name: value for name, value in made.items() if name != "secret"}]

    rotated = api.post(f"{PATH}/{made['id']}/rotate")
    assert rotated.headers["cache-control"] == "no-store"
    assert rotated.json["secret"] not in ("", made["secret"])
    entries = AuditEntry.objects.filter(action__startswith="webhook.").order_by("created_at", "id")
    assert [entry.action for entry in entries] == ["webhook.created", "webhook.rotated"]
    assert made["secret"][6:] not in str([entry.__dict__ for entry in entries])


def test_a_test_says_at_once_how_it_went(api: ApiClient, receiver: Receiver, made: dict[str, Any]) -> None:
    path = f"{PATH}/{made['id']}"
    good = api.post(f"{path}/test").json
    assert (good["ok"], good["status"], good["error"]) == (True, 200, None)
    assert json.loads(receiver.got[0][1])["type"] == "webhook.test"
    receiver.status = 500
    bad = api.post(f"{path}/test").json
    assert (bad["ok"], bad["status"], bad["error"]) == (False, 500, "It answered 500.")

    failed, arrived = api.get(f"{path}/deliveries").json["data"]
    assert (failed["state"], failed["kind"], arrived["state"]) == ("failed", "webhook.test", "delivered")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "http://93.184.215.14/hook"}, "url"),
        ({"url": "https://10.0.0.1/hook"}, "url"),
        ({"url": "https://user:pw@93.184.215.14/"}, "url"),
        ({"url": "https://x/" + "y" * 1000}, "url"),
        ({"url": "https://93.184.215.14/", "kinds": ["party"]}, "kinds"),
        ({"url": "https://93.184.215.14/", "secret": "mine"}, "secret"),
    ],
)
def test_what_is_wrong_is_named(api: ApiClient, fields: dict[str, Any], param: str) -> None:
    answer = api.post(PATH, fields)
    assert (answer.status, answer.error["param"]) == (400, param), answer
    assert not Webhook.objects.exists()


def test_https_may_carry_a_query(api: ApiClient) -> None:
    assert api.post(PATH, url="https://93.184.215.14/hook?team=7").status == 201


def test_there_are_not_too_many(api: ApiClient) -> None:
    for number in range(services.MAX_WEBHOOKS):
        assert api.post(PATH, url=f"https://93.184.215.14/{number}").status == 201
    assert api.post(PATH, url="https://93.184.215.14/").status == 409


def test_an_address_has_one_webhook(api: ApiClient, stranger: Caller, made: dict[str, Any]) -> None:
    other = api.post(PATH, url="https://93.184.215.14/").json
    for answer in (api.post(PATH, url=made["url"]), api.patch(f"{PATH}/{other['id']}", url=made["url"])):
        assert (answer.status, answer.error["param"]) == (409, "url")
    assert api.patch(f"{PATH}/{made['id']}", url=made["url"], enabled=False).status == 200
    assert ApiClient.of(stranger).post(PATH, url=made["url"]).status == 201


def test_admins_manage_them_and_strangers_find_none(
    made: dict[str, Any], admin: Caller, member: Caller, viewer: Caller, stranger: Caller, anonymous: ApiClient
) -> None:
    path = f"{PATH}/{made['id']}"

    def every(client: ApiClient) -> list[int]:
        writes = [client.patch(path, enabled=False), client.post(f"{path}/rotate"), client.post(f"{path}/test")]
        return [answer.status for answer in [client.get(f"{path}/deliveries"), *writes, client.delete(path)]]

    for caller in (member, viewer):
        assert ApiClient.of(caller).get(PATH).status == 403
        assert every(ApiClient.of(caller)) == [403] * 5
    assert ApiClient.of(stranger).get(PATH).json["data"] == []
    assert every(ApiClient.of(stranger)) == [404] * 5
    assert every(anonymous) == [401] * 5
    assert every(ApiClient.of(admin)) == [200, 200, 201, 200, 204]
    assert not Webhook.objects.exists()
    assert Membership.objects.exists()


def test_lists_take_as_many_queries_for_many(
    api: ApiClient, workspace: Workspace, made: dict[str, Any], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    path = f"{PATH}/{made['id']}/deliveries"
    for number in range(6):
        happen(workspace, str(number))
    with django_assert_num_queries(4):
        assert len(api.get(path).json["data"]) == 6
    with django_assert_num_queries(3):
        api.get(PATH)
