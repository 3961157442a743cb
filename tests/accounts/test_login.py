"""POST /api/auth/login and GET /api/auth/me."""

import time
from statistics import median

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.exceptions import ValidationError
from pytest_django import DjangoAssertNumQueries

from accounts.access import Caller
from accounts.hashers import Argon2
from accounts.models import User
from accounts.services import change_password, home, log_in
from gateway_project.lib.errors import InvalidRequest, NotAuthenticated
from tests.accounts.threads import at_once
from tests.api_client import PASSWORD, ApiClient
from tests.conftest import MakeUser

LOG_IN = "/api/auth/login"


def test_it_works(owner: Caller, anonymous: ApiClient) -> None:
    answer = anonymous.post(LOG_IN, email="Owner@Example.com", password=PASSWORD)

    assert answer.status == 200
    assert answer.json["user"] == {"id": str(owner.user.pk), "email": "owner@example.com", "name": "Olga Owner"}
    assert answer.json["workspace"]["id"] == str(owner.workspace.pk)
    assert ApiClient(answer.json["access_token"]).get("/api/auth/me").status == 200


def test_one_wording_for_whatever_is_wrong(owner: Caller, viewer: Caller, anonymous: ApiClient) -> None:
    User.objects.filter(pk=viewer.user.pk).update(is_active=False)

    answers = [
        anonymous.post(LOG_IN, email=email, password=password)
        for email, password in [
            ("owner@example.com", "wrong"),
            ("owner@example.com", PASSWORD + " "),
            ("nobody@example.com", PASSWORD),
            ("no address", PASSWORD),
            (viewer.user.email, PASSWORD),
        ]
    ]

    assert {answer.status for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].error["code"] == "invalid_api_key"


def test_an_unknown_address_takes_as_long_as_a_wrong_password(
    make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The suite's own hashes cost next to nothing; these cost what the product's do, and so show in the time.
    monkeypatch.setattr(Argon2, "time_cost", 2)
    monkeypatch.setattr(Argon2, "memory_cost", 19_456)
    make_user("owner@example.com")

    def seconds(email: str) -> float:
        """Of work, however busy the machine is."""
        begun = time.thread_time()
        with pytest.raises(NotAuthenticated):
            log_in(email, "wrong")
        return time.thread_time() - begun

    wrong, unknown = (median(seconds(email) for _ in range(5)) for email in ("owner@example.com", "nobody@example.com"))

    # Without the hash it would be a twentieth.
    assert unknown > wrong / 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "email"),
        ({"email": "ada@example.com"}, "password"),
        ({"email": "a\0@example.com", "password": "x"}, "email"),
        ({"email": "a" * 255, "password": "x"}, "email"),
        ({"email": "ada@example.com", "password": "x" * 1025}, "password"),
        ({"email": {}, "password": "x"}, "email"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], param: str, anonymous: ApiClient) -> None:
    answer = anonymous.post(LOG_IN, body=fields)

    assert (answer.status, answer.error["param"]) == (400, param)


def test_who_has_no_workspace_gets_one(db: None, anonymous: ApiClient) -> None:
    User.objects.create_superuser("root@example.com", PASSWORD)

    first, second = (anonymous.post(LOG_IN, email="root@example.com", password=PASSWORD) for _ in range(2))

    assert first.json["workspace"]["name"] == "root's workspace"
    assert first.json["workspace"] == second.json["workspace"]


@pytest.mark.django_db(transaction=True)
def test_who_has_no_workspace_gets_one_however_often_they_ask_at_once() -> None:
    user = User.objects.create_superuser("root@example.com", PASSWORD)

    assert len({caller.workspace.pk for caller in at_once(*4 * [lambda: home(user)])}) == 1


def test_a_new_password_ends_every_login(owner: Caller, api: ApiClient) -> None:
    change_password(owner.user, PASSWORD, "Another-Horse-8-Battery")

    assert api.get("/api/auth/me").status == 401
    assert log_in("owner@example.com", "Another-Horse-8-Battery") == owner.user


def test_a_password_set_by_an_administrator_ends_every_login(owner: Caller, api: ApiClient) -> None:
    owner.user.set_password("Another-Horse-8-Battery")
    owner.user.save()

    assert api.get("/api/auth/me").status == 401


def test_a_hash_renewed_at_login_ends_none(owner: Caller, api: ApiClient) -> None:
    # As an older installation would have hashed it: Django renews it when the password is known.
    old = PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1000)
    User.objects.filter(pk=owner.user.pk).update(password=old)

    log_in("owner@example.com", PASSWORD)

    assert User.objects.get(pk=owner.user.pk).password.startswith("argon2")
    assert api.get("/api/auth/me").status == 200


@pytest.mark.parametrize(
    ("current", "new", "param"),
    [("wrong", "Another-Horse-8-Battery", "current"), (PASSWORD, "short", "new"), (PASSWORD, "x" * 1025, "new")],
)
def test_a_refused_change_of_password_changes_nothing(owner: Caller, current: str, new: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        change_password(owner.user, current, new)

    assert refusal.value.param == param
    assert log_in("owner@example.com", PASSWORD) == owner.user


def test_me_names_every_workspace_in_two_queries(
    viewer: Caller, workspace: object, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api = ApiClient.of(viewer)

    with django_assert_num_queries(2):
        answer = api.get("/api/auth/me")

    assert [(row["name"], row["role"]) for row in answer.json["workspaces"]] == [
        ("viewer's workspace", "owner"),
        ("Olga Owner's workspace", "viewer"),
    ]


def test_home_is_the_workspace_joined_first(viewer: Caller) -> None:
    assert home(viewer.user).role == "owner"


def test_an_account_made_in_any_case_is_found_in_any(db: None) -> None:
    user = User.objects.create(email="Ada@Example.com")
    user.set_password(PASSWORD)
    user.save()

    assert log_in("aDA@example.com", PASSWORD) == user
    with pytest.raises(ValidationError):
        User(email="ADA@example.com", password="x").full_clean()
