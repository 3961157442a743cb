"""Fixtures of every application's tests: people, their workspaces, and clients of the JSON API."""

import gc
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import cache

from accounts import services
from accounts.access import Caller
from accounts.models import Membership, Role, User, Workspace
from analytics import ledger
from tests import economy, installation
from tests.api_client import PASSWORD, ApiClient

MakeUser = Callable[..., Caller]

# The machine is busy with other groups' tests: how long an example takes says nothing.
hypothesis.settings.register_profile(
    "shared machine", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not look at it with every few hundred objects of a test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _economy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        economy.save(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _ledger_ends() -> Iterator[None]:
    """Its threads end before the folder that they look at is gone."""
    yield
    ledger.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """The tests' database is a copy of the migrated one, if that is there."""
    if installation.shared():
        settings.DATABASES["default"].setdefault("TEST", {})["TEMPLATE"] = settings.DATABASES["default"]["NAME"]


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Nobody need drop it: its whole cluster goes with the session."""
    return True


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
