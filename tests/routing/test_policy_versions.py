"""Every change of a policy makes a version, and each can be gone back to."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from accounts.access import Caller
from gateway_project.lib.errors import Conflict, InvalidRequest
from keys.models import GatewayKey
from keys.services import create_key
from routing import services
from routing.models import Policy, PolicyVersion
from tests.api_client import ApiClient

PATH = "/api/routing/policies"


@pytest.fixture
def policy(owner: Caller) -> Policy:
    return services.create_policy(owner, {"name": "cheap", "weights": {"cost": 1}})


def path_of(policy: Policy, *more: str) -> str:
    return "/".join((PATH, str(policy.pk), *more))


def test_every_change_makes_a_version(api: ApiClient, owner: Caller, policy: Policy) -> None:
    api.patch(path_of(policy), weights={"quality": 1}, hedge=True)
    api.patch(path_of(policy), name="better")
    api.patch(path_of(policy), default=True)
    versions = api.get(path_of(policy, "versions")).json["data"]
    assert [(version["version"], version["current"], version["note"]) for version in versions] == [
        (4, True, "Made the default"),
        (3, False, "Renamed from 'cheap'"),
        (2, False, "Changed weights, hedge"),
        (1, False, "Created"),
    ]
    assert {version["created_by"] for version in versions} == {owner.user.email}
    assert versions[3]["document"]["weights"] == {"cost": 1.0, "quality": 0.0, "speed": 0.0}
    assert versions[0]["document"]["weights"] == {"cost": 0.0, "quality": 1.0, "speed": 0.0}
    shown = api.get(path_of(policy)).json
    assert (shown["version"], shown["updated_at"]) == (4, versions[0]["created_at"])


def test_what_changes_nothing_makes_no_version(api: ApiClient, policy: Policy) -> None:
    shown = api.get(path_of(policy)).json
    assert api.patch(path_of(policy), {}).json == shown
    same = {name: shown[name] for name in ("name", "default", "weights", "models", "tasks", "timeouts", "cache")}
    assert api.patch(path_of(policy), same).json == shown
    assert PolicyVersion.objects.count() == 1


def test_going_back_makes_a_new_version_that_says_what_the_old_one_said(api: ApiClient, policy: Policy) -> None:
    before = api.get(path_of(policy)).json
    api.patch(path_of(policy), weights={"quality": 1}, models=["a"], name="other", default=True)
    back = api.post(path_of(policy, "rollback"), version=1).json
    assert (back["version"], back["name"], back["default"]) == (3, "other", True)
    own = {"version", "name", "default", "updated_at"}
    assert {name: back[name] for name in back.keys() - own} == {name: before[name] for name in before.keys() - own}
    newest = api.get(path_of(policy, "versions"), limit=1).json
    assert newest["data"][0]["note"] == "Rolled back to version 1"
    older = api.get(path_of(policy, "versions"), limit=2, cursor=newest["next_cursor"]).json
    assert [version["version"] for version in older["data"]] == [2, 1]


def test_a_version_of_before_a_field_existed_has_its_default(api: ApiClient, policy: Policy) -> None:
    version = policy.versions.get()
    del version.document["timeouts"], version.document["hedge"]
    version.save()
    shown = api.get(path_of(policy)).json
    assert (shown["hedge"], shown["timeouts"]["connect"]) == (False, 5.0)
    assert api.get(path_of(policy, "versions")).json["data"][0]["document"]["timeouts"]["total"] == 600.0
    assert api.post(path_of(policy, "rollback"), version=1).json["timeouts"] == shown["timeouts"]


@pytest.mark.parametrize("version", [0, -1, 2, "1", True, None, 1.5, 10**12])
def test_only_to_a_version_that_there_is(api: ApiClient, policy: Policy, version: object) -> None:
    answer = api.post(path_of(policy, "rollback"), {"version": version})
    assert (answer.status, answer.error["param"]) == (400, "version")
    assert api.post(path_of(policy, "rollback"), {}).error["param"] == "version"


def test_more_versions_take_no_more_queries(
    api: ApiClient, policy: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api.get(path_of(policy, "versions"))
    with django_assert_num_queries(4):  # the session, the membership, the policy, its versions
        api.get(path_of(policy, "versions"))
    for number in range(1, 11):
        api.patch(path_of(policy), weights={"cost": number, "speed": 1})
    with django_assert_num_queries(4):
        assert len(api.get(path_of(policy, "versions")).json["data"]) == 11


def at_once(*actions: Callable[[], object]) -> list[Exception]:
    """Do all of `actions` at the same time; what they raised."""
    failed: list[Exception] = []
    ready = threading.Barrier(len(actions))

    def do(action: Callable[[], object]) -> None:
        ready.wait(10)
        try:
            action()
        except Exception as error:  # noqa: BLE001 (looked at below)
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return failed


@pytest.mark.django_db(transaction=True)
def test_changes_at_once_lose_nothing_and_leave_one_default(owner: Caller) -> None:
    policies = [services.create_policy(owner, {"name": f"p{number}"}) for number in range(2)]
    changes = [{"default": True}, {"hedge": True}, {"calibrate": True}, {"classifier": "learned"}]
    assert not at_once(
        *(
            lambda policy=policy, change=change: services.change_policy(owner, policy, change)
            for policy in policies
            for change in changes
        )
    )
    assert Policy.objects.filter(is_default=True).count() == 1
    for policy in Policy.objects.all():
        document = policy.versions.get(version=policy.version).document
        assert (document["hedge"], document["calibrate"], document["classifier"]) == (True, True, "learned")
        assert policy.versions.count() == policy.version == 5


@pytest.mark.django_db(transaction=True)
def test_a_key_made_during_a_renaming_names_a_policy_that_there_is(owner: Caller) -> None:
    for number in range(5):
        policy = services.create_policy(owner, {"name": f"a{number}"})
        failed = at_once(
            lambda policy=policy: services.change_policy(owner, policy, {"name": f"b{policy.name}"}),  # type: ignore[misc]
            lambda policy=policy: create_key(owner, {"name": "k", "policy": policy.name}),  # type: ignore[misc]
        )
        assert all(isinstance(error, InvalidRequest | Conflict) for error in failed)
    names = set(Policy.objects.values_list("name", flat=True))
    assert set(GatewayKey.objects.values_list("policy", flat=True)) <= names


@pytest.mark.django_db(transaction=True)
def test_a_policy_removed_while_a_key_takes_it_leaves_no_key_without(owner: Caller) -> None:
    for number in range(5):
        policy = services.create_policy(owner, {"name": f"a{number}"})
        failed = at_once(
            lambda policy=policy: services.remove_policy(owner, policy),  # type: ignore[misc]
            lambda policy=policy: create_key(owner, {"name": "k", "policy": policy.name}),  # type: ignore[misc]
        )
        assert all(isinstance(error, InvalidRequest | Conflict) for error in failed)
    names = set(Policy.objects.values_list("name", flat=True))
    assert set(GatewayKey.objects.values_list("policy", flat=True)) <= names
