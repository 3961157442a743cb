"""The round that keeps the providers' lists of models current."""

from collections.abc import Iterator

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.access import Caller
from keys import services
from keys.models import Provider
from routing.tasks import discover_models
from tests.keys.server import Server


@pytest.fixture(autouse=True)
def _local_hosts(settings: Settings) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ("localhost", "127.0.0.1", "::1")
    settings.ENVIRONMENT_HOSTS = ()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.models("old")
        yield running


@pytest.fixture
def provider(owner: Caller, server: Server) -> Provider:
    return services.create_provider(owner, {"kind": "openai_compatible", "name": "box", "base_url": server.url})


def test_new_models_are_found(provider: Provider, server: Server) -> None:
    server.models("old", "new")
    discover_models()
    provider.refresh_from_db()
    assert (provider.discovered_models, provider.last_error) == (["old", "new"], "")


def test_a_failure_is_kept_and_takes_no_model_away(provider: Provider, server: Server) -> None:
    server.json("/v1/models", {}, status=500)
    discover_models()
    provider.refresh_from_db()
    assert (provider.discovered_models, provider.last_error) == (["old"], "It failed (500).")
    server.models("old")
    discover_models()
    provider.refresh_from_db()
    assert provider.last_error == ""


def test_who_is_not_asked(owner: Caller, provider: Provider, server: Server) -> None:
    for fields in (
        {"enabled": False},
        {"kind": "openai", "discovered_at": timezone.now()},
        {"kind": "openai", "discovered_at": None, "model_ids": ["named"]},
    ):
        Provider.objects.update(**{"enabled": True, "model_ids": [], **fields})
        server.requests.clear()
        discover_models()
        assert server.requests == []


def test_one_that_cannot_be_asked_keeps_no_other_from_it(owner: Caller, provider: Provider, server: Server) -> None:
    for name, damage in (("junk", {"secret": b"junk"}), ("kind", {"kind": "of another version"})):
        made = services.create_provider(owner, {"kind": "demo", "name": name})
        Provider.objects.filter(pk=made.pk).update(**damage)
    server.models("new")
    discover_models()
    provider.refresh_from_db()
    assert provider.discovered_models == ["new"]


def test_many_are_asked_side_by_side(owner: Caller, server: Server) -> None:
    template = {"workspace": owner.workspace, "kind": "openai_compatible", "base_url": server.url, "locality": "local"}
    Provider.objects.bulk_create(Provider(name=f"box {number}", **template) for number in range(40))
    discover_models()
    assert Provider.objects.filter(discovered_models=["old"]).count() == 40
