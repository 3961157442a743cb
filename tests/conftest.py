"""Fixtures of every application's tests: people, their workspaces, and clients of the JSON API."""

from collections.abc import Callable

import pytest
from django.core.cache import cache

from accounts import services
from accounts.access import Caller
from accounts.models import Membership, Role, User, Workspace
from tests.api_client import PASSWORD, ApiClient

MakeUser = Callable[..., Caller]


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    """Limits count in the cache, which lives longer than a test."""
    cache.clear()


@pytest.fixture
def make_user(db: None) -> MakeUser:
    """`make_user("ada@example.com")` signs somebody up, as the owner of their own workspace."""

    def make(email: str, name: str = "") -> Caller:
        user, workspace = services.sign_up(email, PASSWORD, name)
        return Caller(user, workspace, Role.OWNER)

    return make


@pytest.fixture
def owner(make_user: MakeUser) -> Caller:
    """The first user, and so a superuser; owns `workspace`."""
    return make_user("owner@example.com", "Olga Owner")


@pytest.fixture
def workspace(owner: Caller) -> Workspace:
    return owner.workspace


@pytest.fixture
def stranger(owner: Caller, make_user: MakeUser) -> Caller:
    """Somebody else, who owns another workspace."""
    return make_user("stranger@example.com", "Sam Stranger")


def _member(make_user: MakeUser, workspace: Workspace, role: Role) -> Caller:
    user: User = make_user(f"{role}@team.example.com").user
    Membership.objects.create(user=user, workspace=workspace, role=role)
    return Caller(user, workspace, role)


@pytest.fixture
def admin(make_user: MakeUser, workspace: Workspace) -> Caller:
    return _member(make_user, workspace, Role.ADMIN)


@pytest.fixture
def member(make_user: MakeUser, workspace: Workspace) -> Caller:
    return _member(make_user, workspace, Role.MEMBER)


@pytest.fixture
def viewer(make_user: MakeUser, workspace: Workspace) -> Caller:
    return _member(make_user, workspace, Role.VIEWER)


@pytest.fixture
def anonymous() -> ApiClient:
    """The JSON API without credentials."""
    return ApiClient()


@pytest.fixture
def api(owner: Caller) -> ApiClient:
    """The JSON API as `owner`; `ApiClient.of(viewer)` is it as somebody else, in that person's workspace."""
    return ApiClient.of(owner)
