"""Models of local servers appear, vanish, and come into memory by themselves, and the request path follows."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import Settings

from accounts.access import Caller
from keys import queries, services
from keys.models import Provider
from routing.providers.base import Target
from routing.targets import WorkspaceTargets
from routing.tasks import discover_clouds, discover_fleet
from tests.api_client import ApiClient
from tests.keys.server import Server
from tests.routing.fleet_server import Ollama, shown

pytestmark = pytest.mark.django_db(transaction=True)

Heard = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _local_hosts(settings: Settings) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ("localhost", "127.0.0.1", "::1")
    settings.ENVIRONMENT_HOSTS = ()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def ollama(server: Server) -> Ollama:
    playing = Ollama(server)
    playing.has(llama3_8b=shown(131072, "tools"))
    return playing


@pytest.fixture
def provider(owner: Caller, ollama: Ollama) -> Provider:
    return services.create_provider(owner, {"kind": "ollama", "name": "box", "base_url": ollama.server.url})


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What was announced since the last call, as the gateway's processes hear it."""
    parameters = {**connection.get_connection_params()}
    name = parameters.pop("dbname", None) or django_settings.DATABASES["default"]["NAME"]
    wanted = {key: parameters[key] for key in ("host", "port", "user", "password") if parameters.get(key)}
    with psycopg.connect(dbname=name, autocommit=True, **wanted) as listening:
        listening.execute("LISTEN gateway_config")
        yield lambda: [note.payload for note in listening.notifies(timeout=0.2)]


def targets() -> dict[str, Target]:
    """The targets that the request path would have, by model."""
    view = WorkspaceTargets.build(queries.providers())
    return {target.model: target for target in view.all}


def test_a_new_server_is_known_at_once(provider: Provider, ollama: Ollama) -> None:
    assert (provider.discovered_models, provider.loaded_models) == (["llama3:8b"], [])
    target = targets()["llama3:8b"]
    assert (target.facts.loaded, target.facts.context_window) == (False, 131072)
    assert target.facts.capabilities == frozenset({"tools", "json"})


def test_models_appear_and_vanish(provider: Provider, ollama: Ollama) -> None:
    ollama.has(llama3_8b=shown(131072), qwen3_8b=shown(40960, "tools", "thinking"))
    discover_fleet()
    assert list(targets()) == ["llama3:8b", "qwen3:8b"]
    ollama.has(qwen3_8b=shown(40960))
    discover_fleet()
    assert list(targets()) == ["qwen3:8b"]
    provider.refresh_from_db()
    assert list(provider.model_details) == ["qwen3:8b"]
    ollama.has()
    discover_fleet()
    provider.refresh_from_db()
    assert (targets(), provider.last_error) == ({}, "")


def test_models_come_into_memory_and_leave_it(provider: Provider, ollama: Ollama) -> None:
    ollama.runs(llama3_8b=8192)
    discover_fleet()
    facts = targets()["llama3:8b"].facts
    assert (facts.loaded, facts.context_window) == (True, 8192)
    ollama.runs()
    discover_fleet()
    facts = targets()["llama3:8b"].facts
    assert (facts.loaded, facts.context_window) == (False, 8192)


def test_a_users_own_list_is_final_and_still_learns_what_is_in_memory(owner: Caller, ollama: Ollama) -> None:
    ollama.has(llama3_latest=shown(8192, "tools"), other=shown(4096))
    services.create_provider(
        owner, {"kind": "ollama", "name": "box", "base_url": ollama.server.url, "models": ["llama3", "gone"]}
    )
    ollama.runs(llama3_latest=4096, other=4096)
    discover_fleet()
    found = targets()
    assert {name: target.facts.loaded for name, target in found.items()} == {"llama3": True, "gone": False}
    assert found["llama3"].facts.context_window == 4096
    assert found["gone"].facts.context_window is None


def test_a_server_that_is_down_keeps_its_models_and_is_marked(provider: Provider, ollama: Ollama) -> None:
    ollama.runs(llama3_8b=8192)
    discover_fleet()
    ollama.server.json("/api/tags", {}, status=503)
    discover_fleet()
    provider.refresh_from_db()
    assert provider.last_error == "It is up but not ready: its health check answered 503."
    assert (provider.discovered_models, provider.loaded_models) == (["llama3:8b"], ["llama3:8b"])
    Provider.objects.update(base_url="http://localhost:9")
    discover_fleet()
    provider.refresh_from_db()
    assert "refused" in provider.last_error
    assert list(targets()) == ["llama3:8b"]


def test_a_round_that_finds_nothing_new_announces_nothing(provider: Provider, ollama: Ollama, heard: Heard) -> None:
    ollama.runs(llama3_8b=8192)
    discover_fleet()
    heard()
    before = Provider.objects.get().discovered_at
    for _ in range(3):
        discover_fleet()
    assert heard() == []
    after = Provider.objects.get().discovered_at
    assert before is not None
    assert after is not None
    assert after > before
    changes: tuple[Callable[[], None], ...] = (ollama.runs, ollama.has, lambda: ollama.has(new=shown(5)))
    for change in changes:
        change()
        discover_fleet()
        assert set(heard()) == {f"provider:{provider.id}"}


def test_each_model_is_looked_at_once(provider: Provider, ollama: Ollama) -> None:
    assert ollama.looks() == 1
    for _ in range(3):
        discover_fleet()
    assert ollama.looks() == 1
    services.test_provider(provider)
    assert ollama.looks() == 2


def test_asking_on_demand(api: ApiClient, provider: Provider, ollama: Ollama) -> None:
    ollama.has(llama3_8b=shown(131072), fresh=shown(4096))
    ollama.runs(fresh=4096)
    answer = api.post(f"/api/keys/providers/{provider.id}/test")
    assert (answer.status, answer.json["models"], answer.json["loaded"]) == (200, ["llama3:8b", "fresh"], ["fresh"])
    assert targets()["fresh"].facts.loaded
    [listed] = api.get("/api/keys/providers").json["data"]
    assert listed["loaded_models"] == ["fresh"]


def test_who_may_ask_on_demand(provider: Provider, member: Caller, viewer: Caller, stranger: Caller) -> None:
    path = f"/api/keys/providers/{provider.id}/test"
    assert ApiClient.of(member).post(path).status == 403
    assert ApiClient.of(viewer).post(path).status == 403
    assert ApiClient.of(stranger).post(path).status == 404


def test_a_server_enabled_again_is_asked_at_once(owner: Caller, provider: Provider, ollama: Ollama) -> None:
    services.change_provider(owner, provider, {"enabled": False})
    ollama.has(fresh=shown(4096))
    discover_fleet()
    assert Provider.objects.get().discovered_models == ["llama3:8b"]
    services.change_provider(owner, provider, {"enabled": True})
    assert list(targets()) == ["fresh"]


def test_another_address_is_another_server(owner: Caller, provider: Provider, ollama: Ollama) -> None:
    ollama.runs(llama3_8b=8192)
    discover_fleet()
    services.change_provider(owner, provider, {"base_url": "http://localhost:9"})
    provider.refresh_from_db()
    known = (provider.discovered_models, provider.loaded_models, provider.model_details)
    assert known == ([], None, {})


def test_clouds_are_not_asked_with_the_fleet(provider: Provider, ollama: Ollama) -> None:
    Provider.objects.update(kind="openai", locality="cloud", discovered_at=None)
    ollama.server.requests.clear()
    discover_fleet()
    assert ollama.server.requests == []
    discover_clouds()
    discover_clouds()
    assert ollama.server.paths() == ["/v1/models"]
