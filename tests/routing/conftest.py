"""Fixtures of the tests of routing."""

from collections.abc import Callable

import pytest

from accounts.access import Caller
from keys.models import Provider
from routing import snapshot
from routing.snapshot import Snapshot

MakeProvider = Callable[..., Provider]


@pytest.fixture
def picture(db: None, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """This process's snapshot, new and followed by nobody: `read_all()` brings it up to date."""
    fresh = Snapshot()
    monkeypatch.setattr(snapshot, "current", fresh)
    return fresh


@pytest.fixture
def make_provider(owner: Caller) -> MakeProvider:
    """`make_provider("cloud", "openai", "gpt-4o")`: a provider of the owner's workspace that lists these models."""

    def make(name: str, kind: str, *models: str, **fields: object) -> Provider:
        local = kind == "vllm"
        usual = {
            "workspace": owner.workspace,
            "locality": "local" if local else "cloud",
            "base_url": "http://localhost:9/v1" if local else "",
            "discovered_models": list(models),
        }
        return Provider.objects.create(name=name, kind=kind, **{**usual, **fields})

    return make
