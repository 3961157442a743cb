"""Who a caller of `/api` is, and in which workspace; what each role may do."""

import uuid

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries

from accounts import tokens
from accounts.access import Action, Caller, caller_for, get_or_404, require, scoped
from accounts.auth import api_auth
from accounts.models import Membership, Role, User, Workspace
from gateway_project.lib.errors import NotAuthenticated, NotFound, PermissionDenied
from tests.api_client import ApiClient

ALLOWED = {
    Role.OWNER: set(Action),
    Role.ADMIN: {
        Action.READ,
        Action.USE_KEYS,
        Action.MANAGE_PROVIDERS,
        Action.MANAGE_ROUTING,
        Action.MANAGE_MEMBERS,
        Action.MANAGE_LIMITS,
        Action.READ_AUDIT,
        Action.READ_CONTENT,
        Action.MANAGE_WEBHOOKS,
        Action.USE_LIBRARIES,
    },
    Role.MEMBER: {Action.READ, Action.USE_KEYS, Action.READ_CONTENT, Action.USE_LIBRARIES},
    Role.VIEWER: {Action.READ},
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_what_a_role_may_do(role: Role, action: Action) -> None:
    caller = Caller(User(), Workspace(), role)

    if action in ALLOWED[role]:
        require(caller, action)
    else:
        with pytest.raises(PermissionDenied, match=f"you are {role.value} here"):
            require(caller, action)


def request_of(caller: Caller, workspace: str | None = None) -> HttpRequest:
    headers = {"authorization": f"Bearer {tokens.start_session(caller.user).access}"}
    if workspace is not None:
        headers["x-workspace-id"] = workspace
    return RequestFactory().get("/", headers=headers)


def test_without_the_header_it_is_the_workspace_joined_first(
    viewer: Caller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    request = request_of(viewer)

    with django_assert_num_queries(2):
        caller = api_auth(request)

    assert (caller.user, caller.role) == (viewer.user, Role.OWNER)
    assert caller.workspace != viewer.workspace


def test_the_header_names_the_workspace(viewer: Caller, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    request = request_of(viewer, str(viewer.workspace.pk))

    with django_assert_num_queries(2):
        caller = api_auth(request)

    assert caller == viewer


@pytest.mark.parametrize("id", ["", "x", "0", "é", "a\0b", "../..", str(uuid.uuid4())])
def test_a_header_that_names_none(owner: Caller, id: str) -> None:
    with pytest.raises(NotFound) as refusal:
        api_auth(request_of(owner, id))
    assert refusal.value.param == "X-Workspace-Id"


def test_a_header_that_names_a_strangers(owner: Caller, stranger: Caller) -> None:
    with pytest.raises(NotFound):
        api_auth(request_of(stranger, str(owner.workspace.pk)))


def test_who_belongs_to_none(db: None) -> None:
    with pytest.raises(NotFound, match="POST /api/workspaces"):
        caller_for(User.objects.create_superuser("root@example.com", "x"), None)


def test_rows_of_other_workspaces_do_not_exist(owner: Caller, stranger: Caller) -> None:
    own, other = (Membership.objects.get(user=caller.user) for caller in (owner, stranger))

    assert list(scoped(Membership.objects.all(), owner)) == [own]
    assert get_or_404(Membership.objects.all(), owner, str(own.pk)) == own
    for id in (str(other.pk), other.pk, "x", "a\0b", str(uuid.uuid4())):
        with pytest.raises(NotFound):
            get_or_404(Membership.objects.all(), owner, id)


@pytest.mark.parametrize("headers", [{"authorization": "Bearer gw_abc"}, {"x-api-key": "gw_abc"}])
def test_a_gateway_key_is_told_apart(anonymous: ApiClient, db: None, headers: dict[str, str]) -> None:
    answer = anonymous.request("GET", "/api/auth/me", **headers)

    assert answer.status == 401
    assert "gateway key" in answer.error["message"]
    assert "gw_abc" not in answer.text


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic eDp5", "Token x", "x", "bearer"])
def test_other_authorizations(anonymous: ApiClient, db: None, header: str) -> None:
    assert anonymous.request("GET", "/api/auth/me", authorization=header).status == 401


def test_the_scheme_is_read_in_any_case(owner: Caller, anonymous: ApiClient) -> None:
    access = tokens.start_session(owner.user).access

    assert anonymous.request("GET", "/api/auth/me", authorization=f"bearer {access}").status == 200


# --- The console's cookie ------------------------------------------------------------------------


@pytest.fixture
def browser(owner: Caller) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)
    return client


def test_a_cookie_reads(browser: Client) -> None:
    assert browser.get("/api/auth/me").status_code == 200


def test_a_cookie_writes_with_the_csrf_token_alone(browser: Client) -> None:
    body = {"name": "Research"}
    token = "a" * 32
    browser.cookies["csrftoken"] = token

    refused = [
        browser.post("/api/workspaces", body, "application/json"),
        browser.post("/api/workspaces", body, "application/json", headers={"x-csrftoken": "b" * 32}),
    ]
    taken = browser.post("/api/workspaces", body, "application/json", headers={"x-csrftoken": token})

    assert [answer.status_code for answer in refused] == [403, 403]
    assert "X-CSRFToken" in refused[0].json()["error"]["message"]
    assert taken.status_code == 201


def test_a_bad_token_is_not_saved_by_a_good_cookie(browser: Client) -> None:
    assert browser.get("/api/auth/me", headers={"authorization": "Bearer x"}).status_code == 401


def test_logout_with_the_cookie_ends_the_console_session(browser: Client) -> None:
    browser.cookies["csrftoken"] = "a" * 32

    assert browser.post("/api/auth/logout", headers={"x-csrftoken": "a" * 32}).status_code == 204
    assert browser.get("/api/auth/me").status_code == 401


def test_nobody(db: None) -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    with pytest.raises(NotAuthenticated):
        api_auth(request)
