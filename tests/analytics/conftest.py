"""Fixtures of the ledger's tests."""

from collections.abc import Iterator

import pytest

from accounts.access import Caller
from analytics import ledger
from keys.models import GatewayKey


@pytest.fixture
def key(owner: Caller) -> GatewayKey:
    return GatewayKey.objects.create(workspace=owner.workspace, name="app")


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The writer's connection is this test's database's, and nobody else listens to it."""
    monkeypatch.setattr(ledger, "_connection", None)
    monkeypatch.setattr(ledger, "_on_enter", [])
    monkeypatch.setattr(ledger, "_after_enter", [])
    yield
    if ledger._connection is not None:
        ledger._connection.close()
