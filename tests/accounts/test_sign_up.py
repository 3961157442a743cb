"""POST /api/auth/signup."""

from functools import partial

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import Membership, User, Workspace
from accounts.services import sign_up
from accounts.workspaces import workspace_created
from tests.accounts.threads import at_once
from tests.api_client import PASSWORD, ApiClient

SIGN_UP = "/api/auth/signup"


@pytest.mark.django_db
def test_it_works(anonymous: ApiClient) -> None:
    answer = anonymous.post(SIGN_UP, email="  Ada@Example.com ", password=PASSWORD, name="Ada")

    assert answer.status == 201
    assert answer.json["user"].items() >= {"email": "ada@example.com", "name": "Ada"}.items()
    assert answer.json["workspace"].items() >= {"name": "Ada's workspace", "role": "owner"}.items()
    assert answer.json["token_type"] == "bearer"
    assert answer.json["expires_in"] == 86_400
    me = ApiClient(answer.json["access_token"]).get("/api/auth/me")
    assert me.json == {**answer.json["user"], "workspaces": [answer.json["workspace"]]}


@pytest.mark.django_db
def test_the_password_is_kept_as_an_argon2_hash(anonymous: ApiClient) -> None:
    anonymous.post(SIGN_UP, email="ada@example.com", password=PASSWORD)

    assert User.objects.get().password.startswith("argon2$argon2id$")


@pytest.mark.django_db
def test_the_first_user_alone_is_a_superuser(anonymous: ApiClient) -> None:
    for number in range(3):
        anonymous.post(SIGN_UP, email=f"user-{number}@example.com", password=PASSWORD)

    privileged = User.objects.filter(is_staff=True, is_superuser=True)
    assert [user.email for user in privileged] == ["user-0@example.com"]


@pytest.mark.django_db(transaction=True)
def test_of_many_first_users_at_once_one_is_a_superuser() -> None:
    at_once(*(partial(sign_up, f"user-{number}@example.com", PASSWORD) for number in range(6)))

    assert User.objects.count() == 6
    assert User.objects.filter(is_superuser=True).count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_address_at_once_makes_one_account() -> None:
    statuses = at_once(*4 * [lambda: ApiClient().post(SIGN_UP, email="ada@example.com", password=PASSWORD).status])

    assert sorted(statuses) == [201, 409, 409, 409]
    assert (User.objects.count(), Workspace.objects.count()) == (1, 1)


def test_an_address_has_one_account_whatever_its_case(owner: object, anonymous: ApiClient) -> None:
    answer = anonymous.post(SIGN_UP, email="OWNER@example.com", password=PASSWORD)

    assert answer.status == 409
    assert answer.error["param"] == "email"


@pytest.mark.django_db
def test_closed_by_the_operator(anonymous: ApiClient, settings: Settings) -> None:
    settings.SIGNUP_ENABLED = False

    answer = anonymous.post(SIGN_UP, email="ada@example.com", password=PASSWORD)

    assert (answer.status, answer.error["code"]) == (403, "permission_denied")
    assert not User.objects.exists()


@pytest.mark.django_db
def test_what_a_receiver_of_workspace_created_raises_leaves_nothing_behind() -> None:
    def fail(**_: object) -> None:
        raise RuntimeError

    workspace_created.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            sign_up("ada@example.com", PASSWORD)
    finally:
        workspace_created.disconnect(fail)

    assert (User.objects.count(), Membership.objects.count()) == (0, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"password": PASSWORD}, "email"),
        ({"email": "ada@example.com"}, "password"),
        ({"email": "", "password": PASSWORD}, "email"),
        ({"email": "ada", "password": PASSWORD}, "email"),
        ({"email": "ada@", "password": PASSWORD}, "email"),
        ({"email": "a\0da@example.com", "password": PASSWORD}, "email"),
        ({"email": f"{'a' * 250}@example.com", "password": PASSWORD}, "email"),
        ({"email": 7, "password": PASSWORD}, "email"),
        ({"email": ["ada@example.com"], "password": PASSWORD}, "email"),
        ({"email": None, "password": PASSWORD}, "email"),
        ({"email": "ada@example.com", "password": ""}, "password"),
        ({"email": "ada@example.com", "password": "short"}, "password"),
        ({"email": "ada@example.com", "password": "password123"}, "password"),
        ({"email": "ada@example.com", "password": "84629173650"}, "password"),
        ({"email": "adalovelace@example.com", "password": "adalovelace1"}, "password"),
        ({"email": "ada@example.com", "password": 12345678}, "password"),
        ({"email": "ada@example.com", "password": {"a": 1}}, "password"),
        ({"email": "ada@example.com", "password": "x7-" * 400}, "password"),
        ({"email": "ada@example.com", "password": PASSWORD, "name": "a" * 121}, "name"),
        ({"email": "ada@example.com", "password": PASSWORD, "name": "A\0da"}, "name"),
        ({"email": "ada@example.com", "password": PASSWORD, "name": None}, "name"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], param: str, anonymous: ApiClient) -> None:
    answer = anonymous.post(SIGN_UP, body=fields)

    assert (answer.status, answer.error["code"]) == (400, "invalid_request_error")
    assert answer.error["param"] == param
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"null",
        b"7",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"email": "ada@example.com", "password": NaN}',
        b'{"email": "\\ud800@example.com", "password": "Correct-Horse-7-Battery"}',
        b'{"email": "ada@example.com", "password": "Correct-Horse-7-Battery\\ud800"}',
        b'{"email": "ada@example.com", "password": "\xff\xfe"}',
    ],
)
def test_a_body_that_is_no_json_object(body: bytes, anonymous: ApiClient) -> None:
    answer = anonymous.post(SIGN_UP, body=body)

    assert (answer.status, answer.error["code"]) == (400, "invalid_request_error")


@pytest.mark.django_db
def test_a_body_of_megabytes(anonymous: ApiClient) -> None:
    answer = anonymous.post(SIGN_UP, email="ada@example.com", password="x" * 3_000_000)

    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


@pytest.mark.django_db
def test_another_method(anonymous: ApiClient) -> None:
    assert anonymous.get(SIGN_UP).status == 405


@pytest.mark.django_db
def test_it_takes_few_queries(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    sign_up("first@example.com", PASSWORD)

    with django_assert_max_num_queries(15):
        ApiClient().post(SIGN_UP, email="ada@example.com", password=PASSWORD)
