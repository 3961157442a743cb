"""`/api/keys/gateway`: what a key holder's life looks like, and everything that is refused."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import workspaces
from accounts.access import Caller
from accounts.limits import LimitFields
from accounts.models import AuditEntry, Membership
from gateway_project.lib.ids import uuid7
from keys import queries, services, tokens
from keys.models import GatewayKey, KeySecret
from routing.models import Policy
from routing.services import create_policy
from tests.api_client import ApiClient

PATH = "/api/keys/gateway"
FIELDS = {
    "id", "name", "prefix", "last4", "created_at", "expires_at", "last_used_at", "revoked_at", "spent_usd",
    "allowed_models", "policy", "privacy_mode", "scopes", "budget_usd", "budget_period", "rate_limit_requests",
    "rate_limit_window", "rate_limit_tokens", "rate_limit_streams",
}  # fmt: skip
LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()


@pytest.fixture
def key(owner: Caller) -> GatewayKey:
    return services.create_key(owner, {"name": "ci"})[0]


@pytest.fixture
def cheap(owner: Caller) -> Policy:
    return create_policy(owner, {"name": "cheap"})


def path_of(key: GatewayKey, *more: str) -> str:
    return "/".join((PATH, str(key.id), *more))


# --- It works --------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once(api: ApiClient) -> None:
    answer = api.post(PATH, name="  ci  ")
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json
    secret = made.pop("key")
    assert set(made) == FIELDS
    assert tokens.is_well_formed(secret)
    assert (made["name"], made["spent_usd"], made["revoked_at"]) == ("ci", "0", None)
    assert secret.startswith(made["prefix"])
    assert secret.endswith(made["last4"])
    assert made["scopes"] == ["inference", "documents:read", "documents:write"]
    listed = api.get(PATH)
    assert (listed.json["data"], listed.json["next_cursor"]) == ([made], None)
    assert secret not in listed.text
    [facts] = queries.gateway_keys()
    assert facts.digests == ((tokens.digest(secret), None),)
    assert secret not in str(KeySecret.objects.values())


def test_every_field_is_taken_and_shown(api: ApiClient, cheap: Policy) -> None:
    fields = {
        "name": "Ünïcode 🔑", "expires_at": LATER, "allowed_models": ["gpt-4o", "box/llama", "gpt-4o"],
        "policy": "cheap", "privacy_mode": "strict", "scopes": ["inference"],
        "budget_usd": "12.500000000001", "budget_period": "month",
        "rate_limit_requests": 60, "rate_limit_window": 60, "rate_limit_tokens": 100_000,
        "rate_limit_streams": 4,
    }  # fmt: skip
    made = api.post(PATH, fields).json
    assert datetime.fromisoformat(made.pop("expires_at")) == datetime.fromisoformat(str(fields.pop("expires_at")))
    assert {name: made[name] for name in fields} == {**fields, "allowed_models": ["gpt-4o", "box/llama"]}


def test_a_change_sets_what_it_names_and_null_clears(api: ApiClient, cheap: Policy) -> None:
    made = api.post(PATH, name="ci", budget_usd="5", policy="cheap", scopes=["inference"], rate_limit_requests=1).json
    changed = api.patch(f"{PATH}/{made['id']}", name="renamed", budget_usd="0.25").json
    assert (changed["name"], changed["budget_usd"], changed["policy"]) == ("renamed", "0.25", "cheap")
    cleared = api.patch(
        f"{PATH}/{made['id']}", budget_usd=None, policy=None, scopes=None, rate_limit_requests=None, allowed_models=None
    ).json
    assert [cleared[name] for name in ("budget_usd", "policy", "rate_limit_requests")] == [None, None, None]
    assert len(cleared["scopes"]) == 3
    assert api.patch(f"{PATH}/{made['id']}", {}).json == cleared


def test_revoking_is_for_good_and_may_be_repeated(api: ApiClient, key: GatewayKey) -> None:
    assert api.delete(path_of(key)).status == 204
    key.refresh_from_db()
    revoked_at = key.revoked_at
    assert revoked_at is not None
    assert api.delete(path_of(key)).status == 204
    key.refresh_from_db()
    assert key.revoked_at == revoked_at
    assert api.get(PATH).json["data"][0]["revoked_at"] is not None
    assert [facts.revoked for facts in queries.gateway_keys()] == [True]
    for answer in (api.patch(path_of(key), name="x"), api.post(path_of(key, "rotate"))):
        assert (answer.status, answer.error["code"]) == (409, "conflict")


def test_rotation_keeps_the_old_secret_for_the_overlap(api: ApiClient) -> None:
    made = api.post(PATH, name="ci").json
    rotated = api.post(f"{PATH}/{made['id']}/rotate", overlap_seconds=60)
    assert rotated.status == 201
    assert rotated.json["id"] == made["id"]
    assert rotated.json["key"] != made["key"]
    [facts] = queries.gateway_keys()
    expiries = dict(facts.digests)
    assert expiries[tokens.digest(rotated.json["key"])] is None
    old = expiries[tokens.digest(made["key"])]
    assert old is not None
    assert 50 < old - timezone.now().timestamp() <= 60
    assert api.get(PATH).json["data"][0]["last4"] == rotated.json["last4"]

    # Rotating at once ends both older ones, the one in its overlap included.
    assert api.post(f"{PATH}/{made['id']}/rotate", body=b"").status == 201
    [facts] = queries.gateway_keys()
    assert sorted(expiry is None or expiry > timezone.now().timestamp() for _, expiry in facts.digests) == [
        False,
        False,
        True,
    ]


def test_a_longer_overlap_revives_no_secret(owner: Caller, key: GatewayKey) -> None:
    services.rotate_key(owner, key, 0)
    ended = KeySecret.objects.exclude(expires_at=None).get()
    services.rotate_key(owner, key, 3600)
    ended.refresh_from_db()
    assert ended.expires_at is not None
    assert ended.expires_at <= timezone.now()


def test_a_budget_is_reset(api: ApiClient, key: GatewayKey, caplog: pytest.LogCaptureFixture) -> None:
    GatewayKey.objects.update(spent_usd=Decimal("1.000000000001"))
    assert api.get(PATH).json["data"][0]["spent_usd"] == "1.000000000001"
    with caplog.at_level("INFO"):
        assert api.post(path_of(key, "budget", "reset")).json["spent_usd"] == "0"
    assert f"{key.id}: budget reset by user" in caplog.text


def test_the_list_is_paged_newest_first_in_a_constant_number_of_queries(
    api: ApiClient, owner: Caller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        services.create_key(owner, {"name": str(number)})
    first = api.get(PATH, limit=2).json
    assert [row["name"] for row in first["data"]] == ["2", "1"]
    rest = api.get(PATH, limit=2, cursor=first["next_cursor"]).json
    assert ([row["name"] for row in rest["data"]], rest["next_cursor"]) == (["0"], None)

    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        api.get(PATH)
    for number in range(20):
        key, _ = services.create_key(owner, {"name": str(number)})
        services.rotate_key(owner, key, 60)
    with django_assert_num_queries(len(few)):
        assert len(api.get(PATH).json["data"]) == 23


# --- It is refused -------------------------------------------------------------------------------

BAD = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "   "}, "name"),
    ({"name": None}, "name"),
    ({"name": 5}, "name"),
    ({"name": "x" * 121}, "name"),
    ({"name": "a\x00b"}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"nmae": "x", "name": "x"}, "nmae"),
    ({"name": "x", "id": str(uuid7())}, "id"),
    ({"name": "x", "spent_usd": "0"}, "spent_usd"),
    ({"name": "x", "budget_usd": "-1"}, "budget_usd"),
    ({"name": "x", "budget_usd": "0.0000000000001"}, "budget_usd"),
    ({"name": "x", "budget_usd": "1e30"}, "budget_usd"),
    ({"name": "x", "budget_usd": "NaN"}, "budget_usd"),
    ({"name": "x", "budget_usd": "Infinity"}, "budget_usd"),
    ({"name": "x", "budget_usd": True}, "budget_usd"),
    ({"name": "x", "budget_usd": "much"}, "budget_usd"),
    ({"name": "x", "budget_usd": "1_000"}, "budget_usd"),
    ({"name": "x", "budget_usd": " 5"}, "budget_usd"),
    ({"name": "x", "budget_usd": "\uff15"}, "budget_usd"),
    ({"name": "x", "budget_period": "year"}, "budget_period"),
    ({"name": "x", "rate_limit_requests": 0}, "rate_limit_requests"),
    ({"name": "x", "rate_limit_requests": "5"}, "rate_limit_requests"),
    ({"name": "x", "rate_limit_requests": 1.5}, "rate_limit_requests"),
    ({"name": "x", "rate_limit_requests": True}, "rate_limit_requests"),
    ({"name": "x", "rate_limit_requests": 2**63}, "rate_limit_requests"),
    ({"name": "x", "rate_limit_window": -1}, "rate_limit_window"),
    ({"name": "x", "rate_limit_tokens": 0}, "rate_limit_tokens"),
    ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"name": "x", "expires_at": "2999-01-01T00:00:00"}, "expires_at"),
    ({"name": "x", "expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
    ({"name": "x", "expires_at": "tomorrow"}, "expires_at"),
    ({"name": "x", "expires_at": 4102444800}, "expires_at"),
    ({"name": "x", "allowed_models": []}, "allowed_models"),
    ({"name": "x", "allowed_models": "gpt-4o"}, "allowed_models"),
    ({"name": "x", "allowed_models": ["m"] * 201}, "allowed_models"),
    ({"name": "x", "allowed_models": ["m" * 301]}, "allowed_models.0"),
    ({"name": "x", "allowed_models": ["a\u0000"]}, "allowed_models.0"),
    ({"name": "x", "allowed_models": [""]}, "allowed_models.0"),
    ({"name": "x", "policy": "p" * 121}, "policy"),
    ({"name": "x", "privacy_mode": "Strict"}, "privacy_mode"),
    ({"name": "x", "scopes": []}, "scopes"),
    ({"name": "x", "scopes": ["admin"]}, "scopes.0"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=lambda value: ascii(value)[:60])
def test_a_bad_field_is_named(api: ApiClient, fields: dict[str, Any], param: str) -> None:
    answer = api.post(PATH, fields)
    assert answer.status == 400, answer
    assert (answer.error["code"], answer.error["param"]) == ("invalid_request_error", param)
    assert answer.error["message"].startswith(f"{param}: ")
    assert not GatewayKey.objects.exists()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b'{"name":NaN}', b'{"name":"\\ud800"}', b"\xff", b"[" * 10_000]
)
def test_a_body_that_is_no_object(api: ApiClient, body: bytes) -> None:
    answer = api.request("POST", PATH, body)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("overlap", [-1, 1.5, "60", 10**10])
def test_a_bad_overlap(api: ApiClient, key: GatewayKey, overlap: Any) -> None:
    answer = api.post(path_of(key, "rotate"), overlap_seconds=overlap)
    assert (answer.status, answer.error["param"]) == (400, "overlap_seconds")
    assert key.secrets.count() == 1


def test_a_change_is_checked_as_a_creation_is(api: ApiClient, key: GatewayKey) -> None:
    for fields, param in (
        ({"name": ""}, "name"),
        ({"budget_usd": "-1"}, "budget_usd"),
        ({"revoked_at": None}, "revoked_at"),
    ):
        answer = api.patch(path_of(key), fields)
        assert (answer.status, answer.error["param"]) == (400, param)


def test_wrong_methods(api: ApiClient, key: GatewayKey) -> None:
    for method, path in (("PUT", PATH), ("DELETE", PATH), ("GET", path_of(key)), ("GET", path_of(key, "rotate"))):
        assert api.request(method, path).status == 405


def every_write(client: ApiClient, key: GatewayKey) -> list[Any]:
    return [
        client.patch(path_of(key), name="mine"),
        client.delete(path_of(key)),
        client.post(path_of(key, "rotate")),
        client.post(path_of(key, "budget", "reset")),
    ]


def test_a_member_rotates_no_key_of_another_one(key: GatewayKey, owner: Caller, admin: Caller, member: Caller) -> None:
    """Its secret would be a way around the member's own limits."""
    refused = ApiClient.of(member).post(path_of(key, "rotate"))
    assert (refused.status, refused.error["code"]) == (403, "permission_denied")
    own, _ = services.create_key(member, {"name": "own"})
    for caller, rotated in ((member, own), (admin, own), (admin, key), (owner, own)):
        assert ApiClient.of(caller).post(path_of(rotated, "rotate")).status == 201


@pytest.mark.parametrize("limit", [{"budget_usd": "1"}, {"rate_limit_requests": 5}, {"rate_limit_streams": 1}, {}])
def test_the_keys_of_a_limited_member_end_with_the_membership(owner: Caller, member: Caller, limit: Any) -> None:
    """Nothing would limit them any more."""
    membership = Membership.objects.get(user=member.user, workspace=owner.workspace)
    workspaces.limit_member(owner, str(membership.pk), LimitFields(**limit))
    key, _ = services.create_key(member, {"name": "mine"})
    others, _ = services.create_key(owner, {"name": "others"})
    gone = f"/api/workspaces/{owner.workspace.pk}/members/{membership.pk}"

    assert ApiClient.of(member).delete(gone).status == 204

    key.refresh_from_db()
    others.refresh_from_db()
    assert (key.revoked_at is not None, others.revoked_at) == (bool(limit), None)
    trail = AuditEntry.objects.filter(action="key.revoked")
    assert [(entry.actor, entry.object_id) for entry in trail] == [(member.user.email, str(key.pk))] * bool(limit)


def test_a_stranger_sees_no_key(key: GatewayKey, stranger: Caller) -> None:
    theirs = ApiClient.of(stranger)
    assert theirs.get(PATH).json["data"] == []
    for answer in every_write(theirs, key):
        assert (answer.status, answer.error["code"]) == (404, "not_found")
    key.refresh_from_db()
    assert (key.name, key.revoked_at, key.secrets.count()) == ("ci", None, 1)


def test_a_stranger_cannot_name_the_workspace(key: GatewayKey, owner: Caller, stranger: Caller) -> None:
    theirs = ApiClient.of(Caller(stranger.user, owner.workspace, stranger.role))
    assert [answer.status for answer in [theirs.get(PATH), *every_write(theirs, key)]] == [404] * 5


def test_a_viewer_reads_and_a_member_writes(key: GatewayKey, viewer: Caller, member: Caller) -> None:
    reading = ApiClient.of(viewer)
    assert [row["name"] for row in reading.get(PATH).json["data"]] == ["ci"]
    for answer in [reading.post(PATH, name="x"), *every_write(reading, key)]:
        assert (answer.status, answer.error["code"]) == (403, "permission_denied")
    writing = ApiClient.of(member)
    assert writing.post(PATH, name="x").status == 201
    assert writing.patch(path_of(key), name="mine").status == 200


def test_nobody_gets_in_without_a_token(anonymous: ApiClient, key: GatewayKey) -> None:
    assert [answer.status for answer in [anonymous.get(PATH), *every_write(anonymous, key)]] == [401] * 5


@pytest.mark.parametrize("id", ["0", "x", "%00", "019a0000-0000-7000-8000-000000000000"])
def test_an_unknown_key(api: ApiClient, id: str) -> None:
    assert api.patch(f"{PATH}/{id}", name="x").status == 404
