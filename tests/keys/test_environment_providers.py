"""Providers that the operator names by variables."""

from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from accounts.access import Caller
from gateway_project.env import BadEnvironment
from keys import queries, services
from keys.models import Provider
from tests.api_client import ApiClient
from tests.conftest import MakeUser

KEY = "sk-from-the-environment-1234"


@pytest.fixture
def variables(settings: Settings) -> Any:
    """`variables(openai_api_key=…)`: the process starts anew with these."""

    bare = django_settings.ENV

    def start(hosts: tuple[str, ...] = (), **named: Any) -> None:
        settings.ENV = replace(bare, **named)
        settings.ENVIRONMENT_HOSTS = hosts
        services.sync_environment_providers()

    return start


def shown() -> dict[str, tuple[str, str, str]]:
    return {row.name: (row.kind, row.base_url, row.locality) for row in Provider.objects.filter(from_environment=True)}


def test_they_appear_at_the_first_sign_up_only(variables: Any, make_user: MakeUser) -> None:
    variables(openai_api_key=KEY, anthropic_api_key=KEY, gemini_api_key=KEY, ollama_base_url="http://localhost:11434")
    first, second = make_user("first@example.com"), make_user("second@example.com")
    assert shown() == {
        "openai": ("openai", "", "cloud"),
        "anthropic": ("anthropic", "", "cloud"),
        "gemini": ("gemini", "", "cloud"),
        "ollama": ("ollama", "http://localhost:11434", "local"),
    }
    assert set(Provider.objects.values_list("workspace_id", flat=True)) == {first.workspace.pk}
    assert ApiClient.of(second).get("/api/keys/providers").json["data"] == []
    rows = ApiClient.of(first).get("/api/keys/providers").json["data"]
    assert {(row["from_environment"], row["secret_hint"]) for row in rows} == {(True, "1234"), (True, "")}
    assert {facts.secret.reveal() for facts in queries.providers() if facts.secret} == {KEY}


def test_they_follow_their_variables(variables: Any, owner: Caller) -> None:
    variables(openai_api_key=KEY)
    [before] = Provider.objects.all()
    variables(openai_api_key=KEY)
    Provider.objects.update(enabled=False, discovered_models=["gpt-4o"])
    variables(openai_api_key="sk-another-key-98765")
    [after] = Provider.objects.all()
    assert (after.pk, after.enabled, after.secret_hint) == (before.pk, False, "8765")
    assert after.discovered_models == ["gpt-4o"]
    variables()
    assert not Provider.objects.exists()


def test_a_start_that_changes_nothing_writes_nothing(variables: Any, owner: Caller) -> None:
    variables(openai_api_key=KEY)
    [before] = Provider.objects.values()
    variables(openai_api_key=KEY)
    assert [before] == list(Provider.objects.values())


def test_a_backend(variables: Any, owner: Caller) -> None:
    variables(backend_kind="vllm", backend_base_url="http://localhost:8000/v1", backend_api_key=KEY)
    assert shown() == {"backend": ("vllm", "http://localhost:8000/v1", "local")}
    variables(backend_kind="groq", backend_api_key=KEY)
    assert shown() == {"backend": ("groq", "", "cloud")}
    variables(backend_kind="demo")
    assert shown() == {"backend": ("demo", "", "local")}


def test_its_host_need_not_be_listed_but_is_listed_for_nobody_else(
    variables: Any, owner: Caller, settings: Settings
) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ()
    variables(hosts=("10.0.0.5:8000",), backend_kind="vllm", backend_base_url="http://10.0.0.5:8000")
    assert shown() == {"backend": ("vllm", "http://10.0.0.5:8000", "local")}
    answer = ApiClient.of(owner).post("/api/keys/providers", kind="vllm", name="mine", base_url="http://10.0.0.5:8000")
    assert (answer.status, answer.error["param"]) == (400, "base_url")
    variables(hosts=("8.8.8.8:8000",), backend_kind="vllm", backend_base_url="http://8.8.8.8:8000")
    assert shown() == {"backend": ("vllm", "http://8.8.8.8:8000", "cloud")}


@pytest.mark.parametrize(
    ("named", "variable"),
    [
        ({"backend_kind": "gpt"}, "BACKEND_KIND"),
        ({"backend_kind": "azure", "backend_api_key": KEY}, "BACKEND_KIND"),
        ({"backend_kind": "groq"}, "BACKEND_API_KEY"),
        ({"backend_kind": "vllm"}, "BACKEND_BASE_URL"),
        ({"backend_kind": "vllm", "backend_base_url": "http://u:p@localhost"}, "BACKEND_BASE_URL"),
        ({"backend_kind": "vllm", "backend_base_url": "http://localhost?x=1"}, "BACKEND_BASE_URL"),
        ({"ollama_base_url": "http://2130706433"}, "OLLAMA_BASE_URL"),
        ({"openai_api_key": "sk with spaces"}, "OPENAI_API_KEY"),
    ],
)
def test_a_wrong_variable_is_named(variables: Any, owner: Caller, named: dict[str, str], variable: str) -> None:
    variables(openai_api_key=KEY)
    with pytest.raises(BadEnvironment) as refusal:
        variables(**named)
    message = str(refusal.value)
    assert message.startswith(f"{variable}: ")
    assert "\n" not in message
    assert not [value for value in named.values() if "sk" in value and value in message]
    assert shown().keys() == {"openai"}


def test_they_can_be_disabled_and_nothing_else(variables: Any, owner: Caller) -> None:
    variables(openai_api_key=KEY)
    [row] = Provider.objects.all()
    api, path = ApiClient.of(owner), f"/api/keys/providers/{row.pk}"
    assert api.patch(path, enabled=False).json["enabled"] is False
    for answer in (api.patch(path, name="mine"), api.patch(path, api_key=KEY), api.delete(path)):
        assert (answer.status, answer.error["code"]) == (409, "conflict")


def test_a_users_provider_keeps_its_name(variables: Any, owner: Caller) -> None:
    services.create_provider(owner, {"kind": "demo", "name": "OpenAI"})
    variables(openai_api_key=KEY)
    variables(openai_api_key=KEY)
    assert shown().keys() == {"openai-env"}
    Provider.objects.filter(from_environment=False).delete()
    variables(openai_api_key=KEY)
    assert shown().keys() == {"openai-env"}
