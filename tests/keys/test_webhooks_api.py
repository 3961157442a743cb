"""`/api/webhooks`: what it takes and shows, and who may."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection
from pytest_django import DjangoAssertNumQueries

from accounts.access import Caller
from accounts.models import AuditEntry, Membership, Workspace
from gateway_project.lib.errors import Conflict
from keys import vault
from keys.models import Webhook
from keys.webhooks import services
from tests.api_client import ApiClient
from tests.keys.receiver import PATH, Receiver, happen


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


def test_the_trail_tells_addresses_apart_without_what_is_secret_in_them(api: ApiClient) -> None:
    """Who knows the address of a chat's webhook may post there."""
    first, second = (f"https://93.184.215.14/services/T0/{secret}?x=1" for secret in ("hush-hush", "mum-mum"))
    made = api.post(PATH, url=first).json
    api.patch(f"{PATH}/{made['id']}", url=second)
    api.request("DELETE", f"{PATH}/{made['id']}")
    entries: Any = AuditEntry.objects.filter(action__startswith="webhook.").order_by("created_at", "id")
    created, changed, removed = entries
    assert created.new["url"].startswith("https://93.184.215.14/… (")
    assert changed.old == {"url": created.new["url"]}
    assert changed.new == {"url": removed.old["url"]}
    assert changed.old != changed.new
    trail = api.get("/api/audit").text
    assert "93.184.215.14" in trail
    assert "hush" not in trail
    assert "mum" not in trail


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


@pytest.mark.django_db(transaction=True)
def test_at_once_there_are_not_too_many_either(owner: Caller) -> None:
    def create(number: int) -> int:
        try:
            services.create_webhook(owner, {"url": f"https://93.184.215.14/{number // 2}"})
        except Conflict:
            return 0
        finally:
            connection.close()
        return 1

    with ThreadPoolExecutor(8) as threads:
        made = sum(threads.map(create, range(4 * services.MAX_WEBHOOKS)))

    addresses = list(Webhook.objects.values_list("url", flat=True))
    assert (made, len(addresses)) == (services.MAX_WEBHOOKS,) * 2
    assert len(set(addresses)) == len(addresses)


def test_the_database_itself_keeps_an_address_to_one_webhook(workspace: Workspace) -> None:
    """Also a long one of many bytes, which no plain index takes."""
    url = "https://93.184.215.14/" + "".join(chr(0x4E00 + number) for number in range(970))
    Webhook.objects.create(workspace=workspace, url=url, secret=b"")
    Webhook.objects.create(workspace=workspace, url=f"{url}?", secret=b"")
    with pytest.raises(IntegrityError, match="webhook_url_in_workspace"):
        Webhook.objects.create(workspace=workspace, url=url, secret=b"")


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
