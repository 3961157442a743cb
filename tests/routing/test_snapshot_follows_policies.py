"""Policies, models' settings and evidence reach the request path by themselves, and reading them stays quick."""

import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from accounts.access import Caller
from accounts.models import Workspace
from gateway_project.lib.errors import ModelNotFound
from gateway_project.lib.ids import uuid7
from keys import tokens
from keys.models import GatewayKey, KeySecret, Provider
from keys.services import create_key
from routing import services
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.models import Evidence, Feedback, ModelSettings, Policy, PolicyVersion
from routing.naming import chosen
from routing.policies import DEFAULT
from routing.policy_document import DEFAULTS
from routing.snapshot import Listener, Snapshot
from routing.targets import WorkspaceTargets
from tests.keys.test_announcements import Ear, ear
from tests.routing.conftest import MakeProvider

__all__ = ["ear"]

pytestmark = pytest.mark.django_db(transaction=True)


def soon(holds: Callable[[], bool]) -> bool:
    """Whether `holds` within the five seconds that a change may take."""
    deadline = time.monotonic() + 5
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def followed(owner: Caller) -> Iterator[Snapshot]:
    snapshot = Snapshot()
    listener = Listener(snapshot)
    listener.start()
    assert snapshot.ready.wait(5)
    yield snapshot
    listener.stop()


@pytest.fixture
def view(owner: Caller, followed: Snapshot) -> Callable[[], WorkspaceTargets]:
    return lambda: followed.workspace(str(owner.workspace.pk))


# --- It follows ------------------------------------------------------------------------------------


def test_a_policy_is_in_force_soon_after_each_change(owner: Caller, view: Callable[[], WorkspaceTargets]) -> None:
    assert view().default_policy is DEFAULT
    policy = services.create_policy(owner, {"name": "House", "default": True})
    assert soon(lambda: view().default_policy.name == "House")
    assert view().policies["house"] is view().default_policy
    services.change_policy(owner, policy, {"weights": {"quality": 3, "cost": 1}})
    assert soon(lambda: view().default_policy.weights.quality == 0.75)
    services.roll_back(owner, policy, 1)
    assert soon(lambda: view().default_policy.version == 3)
    assert view().default_policy.weights == DEFAULT.weights
    services.change_policy(owner, policy, {"default": False})
    assert soon(lambda: view().default_policy is DEFAULT)
    assert "house" in view().policies
    services.remove_policy(owner, policy)
    assert soon(lambda: not view().policies)


def test_what_is_set_for_a_model_holds_soon(
    owner: Caller, make_provider: MakeProvider, view: Callable[[], WorkspaceTargets]
) -> None:
    provider = make_provider("cloud", "openai", "gpt-4o", "gpt-4o-mini")
    assert soon(lambda: len(view().automatic) == 2)
    untouched = view().by_model["gpt-4o-mini"][0]
    services.set_model(owner, "cloud/gpt-4o", {"quality": 0.25})
    assert soon(lambda: view().by_model["gpt-4o"][0].facts.quality == 0.25)
    services.set_model(owner, "cloud/gpt-4o", {"enabled": False})
    assert soon(lambda: [target.model for target in view().automatic] == ["gpt-4o-mini"])
    # What its transport prepared for a target is not lost by what happens to another one.
    assert view().by_model["gpt-4o-mini"][0] is untouched
    provider.delete()
    assert soon(lambda: not view().all and not view().settings)


def test_evidence_arrives_and_leaves_the_targets_alone(
    owner: Caller, make_provider: MakeProvider, view: Callable[[], WorkspaceTargets]
) -> None:
    make_provider("cloud", "openai", "gpt-4o")
    assert soon(lambda: bool(view().all))
    before = view()
    for source, good in (("explicit", 2.0), ("implicit", 0.5)):
        Evidence.objects.create(
            workspace=owner.workspace, model="gpt-4o", complexity="simple", source=source, good=good, bad=1
        )
    assert soon(lambda: view().evidence == {("gpt-4o", "simple"): (2.5, 2.0)})
    assert view().all is before.all
    assert view().version > before.version
    Evidence.objects.all().delete()
    assert soon(lambda: not view().evidence)


def test_each_change_makes_a_later_version_of_the_view(owner: Caller, view: Callable[[], WorkspaceTargets]) -> None:
    policy = services.create_policy(owner, {"name": "p"})
    assert soon(lambda: "p" in view().policies)
    versions = [view().version]
    for hedge in (True, False, True):
        services.change_policy(owner, policy, {"hedge": hedge})
        assert soon(lambda hedge=hedge: view().policies["p"].hedge is hedge)  # type: ignore[misc]
        versions.append(view().version)
    assert versions == sorted(set(versions))


def test_a_change_in_one_workspace_leaves_the_others_views(
    owner: Caller, stranger: Caller, followed: Snapshot, view: Callable[[], WorkspaceTargets]
) -> None:
    services.create_policy(owner, {"name": "mine"})
    assert soon(lambda: "mine" in view().policies)
    mine = view()
    services.create_policy(stranger, {"name": "theirs", "default": True})
    assert soon(lambda: followed.workspace(str(stranger.workspace.pk)).default_policy.name == "theirs")
    assert view() is mine


def test_a_key_is_never_without_its_policy_while_that_is_renamed(
    owner: Caller, followed: Snapshot, view: Callable[[], WorkspaceTargets]
) -> None:
    policy = services.create_policy(owner, {"name": "a0", "privacy_mode": "strict"})
    key, _ = create_key(owner, {"name": "k", "policy": "a0"})
    assert soon(lambda: followed.key(str(key.pk)) is not None and "a0" in view().policies)
    exchange = Exchange(CHAT, model="auto")
    for number in range(1, 6):
        exchange.caller = followed.key(str(key.pk))
        services.change_policy(owner, policy, {"name": f"a{number}"})
        deadline = time.monotonic() + 5
        while list(view().policies) != [f"a{number}"] and time.monotonic() < deadline:
            exchange.caller = followed.key(str(key.pk))
            assert chosen(exchange, view()).privacy_mode == "strict"
        # A request that was let in before goes on by the same policy, one that names the former name does not.
        assert chosen(exchange, view()).name == f"a{number}"
        with pytest.raises(ModelNotFound):
            chosen(Exchange(CHAT, model=f"policy/a{number - 1}"), view())
    services.change_policy(owner, policy, {"privacy_mode": "flexible"})
    assert soon(lambda: view().former_policies["a0"].privacy_mode == "flexible")
    GatewayKey.objects.all().delete()
    services.remove_policy(owner, policy)
    assert soon(lambda: not view().policies and not view().former_policies)


def test_a_document_that_cannot_be_read_takes_no_other_with_it(
    owner: Caller, view: Callable[[], WorkspaceTargets]
) -> None:
    broken = services.create_policy(owner, {"name": "broken", "default": True})
    PolicyVersion.objects.update(document={"weights": "heavy"})
    Policy.objects.filter(pk=broken.pk).update(name="Broken")
    services.create_policy(owner, {"name": "fine"})
    assert soon(lambda: list(view().policies) == ["fine"])


def test_where_the_default_cannot_be_read_requests_stay_in_the_house(
    owner: Caller, view: Callable[[], WorkspaceTargets]
) -> None:
    policy = services.create_policy(owner, {"name": "ours", "default": True, "privacy_mode": "strict"})
    assert soon(lambda: view().default_policy.name == "ours")
    PolicyVersion.objects.update(document={"weights": "heavy"})
    Policy.objects.filter(pk=policy.pk).update(name="Ours")
    assert soon(lambda: not view().policies)
    assert view().default_policy.privacy_mode == "strict"
    PolicyVersion.objects.update(document=DEFAULTS)
    Policy.objects.filter(pk=policy.pk).update(name="ours")
    assert soon(lambda: view().default_policy.privacy_mode == "")


# --- It is announced -------------------------------------------------------------------------------


def test_changes_are_announced_by_their_workspace(ear: Ear, owner: Caller, make_provider: MakeProvider) -> None:
    make_provider("cloud", "openai", "gpt-4o")
    ear.heard()
    workspace = owner.workspace.pk
    policy = services.create_policy(owner, {"name": "p"})
    assert ear.heard() == [f"policy:{workspace}"]
    services.change_policy(owner, policy, {"hedge": True})
    assert ear.heard() == [f"policy:{workspace}"]
    services.change_policy(owner, policy, {"hedge": True})
    assert ear.heard() == []
    services.set_model(owner, "cloud/gpt-4o", {"quality": 1})
    assert ear.heard() == [f"model:{workspace}"]
    services.set_model(owner, "cloud/gpt-4o", {"quality": 1})
    assert ear.heard() == []
    Feedback.objects.create(request_id=uuid7(), workspace=owner.workspace, model="gpt-4o", complexity="simple", score=1)
    assert ear.heard() == []
    Evidence.objects.create(workspace=owner.workspace, model="m", complexity="simple", source="explicit", good=1)
    assert ear.heard() == [f"evidence:{workspace}"]
    services.remove_policy(owner, policy)
    assert ear.heard() == [f"policy:{workspace}"]


UNWATCHED = {
    Policy: {"created_at", "created_by_id"},
    ModelSettings: {"updated_at"},
    Evidence: {"updated_at"},
}


@pytest.mark.parametrize("model", UNWATCHED)
def test_every_column_is_watched_or_named_as_unwatched(model: type[Policy | ModelSettings | Evidence]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT attname FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attnum = ANY (tgattr)
            WHERE tgrelid = %s::regclass AND tgname = 'announce_change'
            """,
            [model._meta.db_table],
        )
        watched = {row[0] for row in cursor.fetchall()}
    assert watched == {field.column for field in model._meta.concrete_fields} - UNWATCHED[model]


# --- It stays quick --------------------------------------------------------------------------------


def fill(workspaces: int, keys: int) -> list[UUID]:
    """So many workspaces with a provider of three models, a policy, settings and evidence each; `keys` in all."""
    made = Workspace.objects.bulk_create(Workspace(name=f"w{number}") for number in range(workspaces))
    providers = Provider.objects.bulk_create(
        Provider(workspace=each, kind="openai", name="cloud", locality="cloud", discovered_models=["a", "b", "c"])
        for each in made
    )
    policies = Policy.objects.bulk_create(Policy(workspace=each, name="house", is_default=True) for each in made)
    PolicyVersion.objects.bulk_create(PolicyVersion(policy=each, version=1, document=DEFAULTS) for each in policies)
    ModelSettings.objects.bulk_create(
        ModelSettings(workspace=each.workspace, provider=each, model="a", quality=0.5) for each in providers
    )
    Evidence.objects.bulk_create(
        Evidence(workspace=each, model="a", complexity="simple", source="explicit", good=1) for each in made
    )
    rows = GatewayKey.objects.bulk_create(
        GatewayKey(workspace=made[number % workspaces], name=f"k{number}", policy="house") for number in range(keys)
    )
    KeySecret.objects.bulk_create(KeySecret(key=key, digest=key.pk.bytes, prefix="gw_", last4="last") for key in rows)
    return [each.pk for each in made]


def test_reading_all_takes_as_many_queries_for_many_as_for_few(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    tokens.digest("gw_x")  # the pepper is read once
    # Keys, their secrets, limits of members and of workspaces, providers, policies, settings, evidence.
    for more in (1, 40):
        fill(more, more)
        with django_assert_num_queries(8):
            Snapshot().read_all()
