"""Changes of keys and providers are announced to every process, and what each request changes is not."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import Membership, User, Workspace
from gateway_project.lib.ids import uuid7
from keys.models import GatewayKey, KeySecret, Provider
from keys.usage import record_use

pytestmark = pytest.mark.django_db(transaction=True)

# What changes with requests and discoveries, without a process having to know.
UNWATCHED = {
    # budget_since changes with budget_usd alone.
    "keys_gatewaykey": {"budget_since", "last_used_at", "spent_usd"},
    "keys_keysecret": set(),
    "keys_provider": {"last_error", "discovered_at"},
}


class Ear:
    """Listens on the channel as the gateway's processes do."""

    def __init__(self, listening: psycopg.Connection[Any]) -> None:
        self.listening = listening

    def heard(self) -> list[str]:
        return sorted({note.payload for note in self.listening.notifies(timeout=0.2)})


@pytest.fixture
def ear() -> Iterator[Ear]:
    parameters = {**connection.get_connection_params()}
    name = parameters.pop("dbname", None) or settings.DATABASES["default"]["NAME"]
    wanted = {key: parameters[key] for key in ("host", "port", "user", "password") if parameters.get(key)}
    with psycopg.connect(dbname=name, autocommit=True, **wanted) as listening:
        listening.execute("LISTEN gateway_config")
        yield Ear(listening)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace.objects.create(name="Home")


@pytest.fixture
def key(workspace: Workspace) -> GatewayKey:
    return GatewayKey.objects.create(workspace=workspace, name="ci")


@pytest.fixture
def provider(workspace: Workspace) -> Provider:
    return Provider.objects.create(workspace=workspace, kind="vllm", name="box", locality="local")


def test_a_key_is_announced_from_its_creation_to_its_end(ear: Ear, key: GatewayKey) -> None:
    assert ear.heard() == [f"key:{key.id}"]
    key.revoked_at = timezone.now()
    key.save()
    assert ear.heard() == [f"key:{key.id}"]
    key_id = key.id
    key.delete()
    assert ear.heard() == [f"key:{key_id}"]


def test_a_secret_announces_its_key(ear: Ear, key: GatewayKey) -> None:
    secret = KeySecret.objects.create(key=key, digest=b"x" * 32, prefix="gw_", last4="abcd")
    assert ear.heard() == [f"key:{key.id}"]
    KeySecret.objects.filter(pk=secret.pk).update(expires_at=timezone.now())
    assert ear.heard() == [f"key:{key.id}"]
    secret.delete()
    assert ear.heard() == [f"key:{key.id}"]


def test_a_provider_is_announced_when_it_or_its_models_change(ear: Ear, provider: Provider) -> None:
    assert ear.heard() == [f"provider:{provider.id}"]
    provider.discovered_models = ["llama"]
    provider.save()
    assert ear.heard() == [f"provider:{provider.id}"]
    provider_id = provider.id
    provider.delete()
    assert ear.heard() == [f"provider:{provider_id}"]


def test_limits_of_members_and_workspaces_name_the_workspace(ear: Ear, workspace: Workspace) -> None:
    workspace.budget_usd = Decimal(5)
    workspace.save()
    assert ear.heard() == [f"limits:{workspace.id}"]
    member = Membership.objects.create(
        workspace=workspace, user=User.objects.create_user("m@example.com"), role="member"
    )
    assert ear.heard() == [f"limits:{workspace.id}"]
    member.rate_limit_streams = 2
    member.save()
    assert ear.heard() == [f"limits:{workspace.id}"]
    member.role = "admin"
    member.save()
    workspace.save()
    assert ear.heard() == []
    member.delete()
    assert ear.heard() == [f"limits:{workspace.id}"]


def test_a_write_that_changes_nothing_says_nothing(ear: Ear, key: GatewayKey, provider: Provider) -> None:
    ear.heard()
    key.save()
    provider.discovered_at, provider.last_error = timezone.now(), "refused"
    provider.save()
    assert ear.heard() == []


def test_recording_use_says_nothing_and_adds_up(ear: Ear, key: GatewayKey) -> None:
    ear.heard()
    now = timezone.now()
    batch = [
        (key.id, now, Decimal("0.000000000001")),
        (key.id, now - timedelta(hours=1), Decimal("1.5")),
        (uuid7(), now, Decimal(1)),
    ]
    with connection.cursor() as wrapped:
        cursor: psycopg.Cursor[Any] = wrapped.cursor
        # Another test's connection may have the ledger's own.
        cursor.execute("DROP TABLE IF EXISTS pg_temp.entered")
        cursor.execute("CREATE TEMP TABLE entered (key_id uuid, created_at timestamptz, cost_usd numeric)")
        for rows in (batch, batch[1:2], [], [(None, now, Decimal(1))]):
            cursor.execute("TRUNCATE entered")
            cursor.executemany("INSERT INTO entered VALUES (%s, %s, %s)", rows)
            record_use(cursor)
        cursor.execute("DROP TABLE entered")
    key.refresh_from_db()
    assert (key.spent_usd, key.last_used_at) == (Decimal("3.000000000001"), now)
    assert ear.heard() == []


@pytest.mark.parametrize("model", [GatewayKey, KeySecret, Provider])
def test_every_column_is_watched_or_named_as_unwatched(model: type[GatewayKey | KeySecret | Provider]) -> None:
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT attname FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attnum = ANY (tgattr)
            WHERE tgrelid = %s::regclass AND tgname = 'announce_change'
            """,
            [table],
        )
        watched = {row[0] for row in cursor.fetchall()}
    assert watched == {field.column for field in model._meta.concrete_fields} - UNWATCHED[table]
