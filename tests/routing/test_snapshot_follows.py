"""A change of a key or a provider reaches the request path by itself."""

import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from accounts.access import Caller
from keys import tokens
from keys.models import GatewayKey, KeySecret, Provider
from routing.snapshot import Listener, Snapshot

pytestmark = pytest.mark.django_db(transaction=True)


def soon(holds: Callable[[], bool]) -> bool:
    """Whether `holds` within the five seconds that the contract allows."""
    deadline = time.monotonic() + 5
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def revoked(snapshot: Snapshot, digest: bytes) -> bool:
    found = snapshot.caller(digest)
    return found is not None and found[0].revoked


@pytest.fixture
def snapshot(owner: Caller) -> Iterator[Snapshot]:
    followed = Snapshot()
    listener = Listener(followed)
    listener.start()
    assert followed.ready.wait(5)
    yield followed
    listener.stop()


def test_a_new_key_is_known_and_a_revoked_one_is_refused(owner: Caller, snapshot: Snapshot) -> None:
    secret = tokens.generate()
    digest = tokens.digest(secret)
    key = GatewayKey.objects.create(workspace=owner.workspace, name="k")
    KeySecret.objects.create(key=key, digest=digest, prefix=secret[:8], last4=secret[-4:])
    assert soon(lambda: snapshot.caller(digest) is not None)

    GatewayKey.objects.filter(id=key.id).update(revoked_at=key.created_at)
    assert soon(lambda: revoked(snapshot, digest))

    key.delete()
    assert soon(lambda: snapshot.caller(digest) is None)


def test_what_was_committed_before_a_catch_up_is_known_after_it(owner: Caller, snapshot: Snapshot) -> None:
    for number in range(5):
        secret = tokens.generate()
        key = GatewayKey.objects.create(workspace=owner.workspace, name=f"k{number}")
        KeySecret.objects.create(key=key, digest=tokens.digest(secret), prefix=secret[:8], last4=secret[-4:])
        snapshot.catch_up(5)
        assert snapshot.caller(tokens.digest(secret)) is not None


def test_a_picture_that_nobody_follows_is_not_waited_for() -> None:
    began = time.monotonic()
    Snapshot().catch_up(5)
    assert time.monotonic() - began < 1


def test_a_providers_models_come_and_go(owner: Caller, snapshot: Snapshot) -> None:
    workspace = str(owner.workspace.id)
    provider = Provider.objects.create(
        workspace=owner.workspace, kind="vllm", name="gpu", base_url="http://localhost:9/v1", locality="local",
        model_ids=["a"],
    )  # fmt: skip
    assert soon(lambda: "a" in snapshot.workspace(workspace).by_model)

    Provider.objects.filter(id=provider.id).update(model_ids=["b"])
    assert soon(lambda: list(snapshot.workspace(workspace).by_model) == ["b"])

    Provider.objects.filter(id=provider.id).update(enabled=False)
    assert soon(lambda: not snapshot.workspace(workspace).all)


def test_it_catches_up_after_the_connection_was_lost(owner: Caller, snapshot: Snapshot) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", ["gateway snapshot"]
        )
    Provider.objects.create(workspace=owner.workspace, kind="demo", name="demo", locality="local", model_ids=["demo"])
    assert soon(lambda: "demo" in snapshot.workspace(str(owner.workspace.id)).by_model)
