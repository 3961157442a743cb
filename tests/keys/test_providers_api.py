"""`/api/keys/providers`: adding, testing, changing and removing providers, and everything that is refused."""

from typing import Any

import pytest
from aiohttp import web
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.access import Caller
from accounts.models import Event
from gateway_project.lib.errors import NotFound
from keys import queries, services
from keys.models import Provider
from tests.api_client import ApiAnswer, ApiClient
from tests.keys.server import Server

PATH = "/api/keys/providers"
SECRET = "sk-stored-0123456789"
FIELDS = {
    "id", "kind", "name", "base_url", "locality", "enabled", "secret_hint", "models", "discovered_models",
    "discovered_at", "loaded_models", "last_error", "from_environment", "capabilities", "created_at",
}  # fmt: skip


def path_of(provider: Provider, *more: str) -> str:
    return "/".join((PATH, str(provider.id), *more))


def refused(answer: ApiAnswer, status: int, param: str | None) -> None:
    assert (answer.status, answer.error["param"]) == (status, param), answer


# --- It works --------------------------------------------------------------------------------------


def test_a_provider_is_asked_as_it_is_added(api: ApiClient, server: Server) -> None:
    answer = api.post(PATH, kind="vllm", name="box", base_url=f"{server.url}/v1/", api_key=f" {SECRET}\n")
    assert answer.status == 201
    made = answer.json
    assert set(made) == FIELDS
    assert (made["kind"], made["name"], made["locality"], made["secret_hint"]) == ("vllm", "box", "local", SECRET[-4:])
    assert (made["models"], made["discovered_models"], made["last_error"]) == ([], ["tiny", "large"], None)
    assert api.get(PATH).json == {"data": [made], "next_cursor": None}
    [facts] = queries.providers()
    assert (facts.base_url, facts.discovered, facts.local) == (f"{server.url}/v1", ("tiny", "large"), True)
    assert facts.secret is not None
    assert facts.secret.reveal() == SECRET
    assert server.paths() == ["/health", "/v1/models"]
    assert server.requests[-1].headers["authorization"] == f"Bearer {SECRET}"


def test_a_server_that_is_down_blocks_no_creation(api: ApiClient) -> None:
    made = api.post(PATH, kind="vllm", name="box", base_url="http://localhost:9").json
    assert "refused" in made["last_error"]
    assert made["discovered_models"] == []


def test_the_demo_needs_nothing(api: ApiClient) -> None:
    made = api.post(PATH, kind="demo", name="demo").json
    assert (made["locality"], made["discovered_models"], made["base_url"]) == ("local", ["demo"], None)
    assert made["secret_hint"] == ""
    for field, value in (("api_key", "x"), ("base_url", "http://localhost"), ("models", ["m"])):
        assert api.post(PATH, {"kind": "demo", "name": "other", field: value}).status == 400


def test_a_cloud_needs_a_key_and_knows_its_address(api: ApiClient, settings: Settings) -> None:
    refused(api.post(PATH, kind="openai", name="openai"), 400, "api_key")
    refused(api.post(PATH, kind="azure", name="azure", api_key=SECRET, models=["d"]), 400, "base_url")
    address = "https://house.openai.azure.com"
    refused(api.post(PATH, kind="azure", name="azure", api_key=SECRET, base_url=address), 400, "models")
    made = api.post(PATH, kind="openai", name="openai", api_key=SECRET, models=["gpt-4o"]).json
    assert (made["base_url"], made["locality"], made["models"]) == ("https://api.openai.com/v1", "cloud", ["gpt-4o"])


def test_a_test_says_how_it_went_and_keeps_it(api: ApiClient, provider: Provider, server: Server) -> None:
    server.models("new")
    answer = api.post(path_of(provider, "test"))
    assert answer.json.keys() == {"ok", "latency_ms", "models", "loaded"}
    assert (answer.json["ok"], answer.json["models"], answer.json["loaded"]) == (True, ["new"], ["new"])
    server.respond("/v1/models", lambda: web.Response(status=401, text=f"bad key {SECRET}"))
    answer = api.post(path_of(provider, "test"))
    assert (answer.status, answer.json["ok"], answer.json["models"]) == (200, False, [])
    assert answer.json["error"] == "The key was refused (401)."
    shown = api.get(PATH).json["data"][0]
    assert (shown["last_error"], shown["discovered_models"]) == ("The key was refused (401).", ["new"])


def test_changes(api: ApiClient, provider: Provider, server: Server) -> None:
    server.requests.clear()
    changed = api.patch(path_of(provider), name="renamed", enabled=False, models=["a", "b", "a"]).json
    assert (changed["name"], changed["enabled"], changed["models"]) == ("renamed", False, ["a", "b"])
    assert server.requests == []
    assert api.patch(path_of(provider), models=None).json["models"] == []
    assert api.patch(path_of(provider), api_key="sk-another-987654321").json["secret_hint"] == "4321"
    assert server.requests[-1].headers["authorization"] == "Bearer sk-another-987654321"
    assert api.patch(path_of(provider), api_key=None).json["secret_hint"] == ""
    assert "authorization" not in server.requests[-1].headers


def test_the_models_of_one_server_are_not_taken_for_anothers(
    api: ApiClient, provider: Provider, server: Server
) -> None:
    changed = api.patch(path_of(provider), base_url="http://localhost:9", api_key=SECRET).json
    assert (changed["discovered_models"], changed["discovered_at"]) == ([], None)
    # An answer of the old server that comes late.
    services.record_probe(provider, services.ProbeResult(True, 1, ("tiny",)))
    assert api.get(PATH).json["data"][0]["discovered_models"] == []


def test_a_change_of_what_was_removed_meanwhile(owner: Caller, provider: Provider) -> None:
    Provider.objects.all().delete()
    with pytest.raises(NotFound):
        services.change_provider(owner, provider, {"enabled": False})


def test_removal(api: ApiClient, provider: Provider) -> None:
    assert api.delete(path_of(provider)).status == 204
    assert api.get(PATH).json["data"] == []
    assert api.delete(path_of(provider)).status == 404


def test_the_list_takes_a_constant_number_of_queries(
    api: ApiClient, owner: Caller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    services.create_provider(owner, {"kind": "demo", "name": "demo"})
    with CaptureQueriesContext(connection) as few:
        api.get(PATH)
    for number in range(20):
        services.create_provider(owner, {"kind": "demo", "name": f"demo {number}"})
    with django_assert_num_queries(len(few)):
        assert len(api.get(PATH).json["data"]) == 21


# --- Addresses and secrets -----------------------------------------------------------------------


def test_a_stored_secret_does_not_follow_to_another_host(api: ApiClient, provider: Provider, server: Server) -> None:
    with Server() as other:
        for address in (other.url, server.url.replace("localhost", "127.0.0.1"), server.url.replace("http:", "https:")):
            refused(api.patch(path_of(provider), base_url=address), 400, "api_key")
        assert other.requests == []
        assert api.patch(path_of(provider), base_url=f"{server.url}/v1").status == 200
        assert api.patch(path_of(provider), base_url=other.url, api_key="sk-for-the-other-one").status == 200
        assert {request.headers["authorization"] for request in other.requests} == {"Bearer sk-for-the-other-one"}
        assert api.patch(path_of(provider), base_url=server.url, api_key=None).status == 200


@pytest.mark.parametrize(
    "address",
    ["http://169.254.169.254/", "http://10.0.0.1", "http://u:p@localhost", "ftp://localhost", "http://2130706433", ""],
)
def test_an_address_that_is_refused(api: ApiClient, provider: Provider, address: str) -> None:
    refused(api.post(PATH, kind="vllm", name="x", base_url=address), 400, "base_url")
    refused(api.patch(path_of(provider), base_url=address), 400, "base_url")
    provider.refresh_from_db()
    assert "localhost" in provider.base_url


def test_an_address_that_the_operator_takes_back_is_not_connected_to(
    api: ApiClient, provider: Provider, server: Server, settings: Settings
) -> None:
    server.requests.clear()
    settings.ALLOWED_PRIVATE_HOSTS = ()
    answer = api.post(path_of(provider, "test"))
    assert "private address" in answer.json["error"]
    assert server.requests == []


def test_locality_is_what_the_address_allows(api: ApiClient, server: Server) -> None:
    public = {"kind": "vllm", "base_url": "http://8.8.8.8:9"}
    refused(api.post(PATH, name="a", locality="local", **public), 400, "locality")
    assert api.post(PATH, name="a", models=["m"], **public).json["locality"] == "cloud"
    assert api.post(PATH, name="b", kind="vllm", base_url=server.url, locality="cloud").json["locality"] == "cloud"
    refused(api.post(PATH, name="c", kind="openai", api_key=SECRET, locality="local"), 400, "locality")
    # A proxy of a cloud's API on a private host is a way to the cloud.
    proxy = api.post(PATH, name="d", kind="openai", api_key=SECRET, base_url=server.url)
    assert proxy.json["locality"] == "cloud"


def test_a_local_provider_whose_host_has_become_public_is_local_no_more(
    provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Provider.objects.update(base_url="http://8.8.8.8:8000")
    provider.refresh_from_db()
    services.recheck_locality(provider)
    provider.refresh_from_db()
    assert provider.locality == "cloud"


# --- It is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "x"}, "kind"),
        ({"kind": "demo"}, "name"),
        ({"kind": "gpt", "name": "x"}, "kind"),
        ({"kind": "demo", "name": ""}, "name"),
        ({"kind": "demo", "name": "a/b"}, "name"),
        ({"kind": "demo", "name": "Policy"}, "name"),
        ({"kind": "demo", "name": "auto"}, "name"),
        ({"kind": "demo", "name": "Gateway"}, "name"),
        ({"kind": "demo", "name": "x" * 61}, "name"),
        ({"kind": "demo", "name": "a\u0000"}, "name"),
        ({"kind": "demo", "name": "a\r\nx-y: z"}, "name"),
        ({"kind": "demo", "name": "x", "base": "y"}, "base"),
        ({"kind": "demo", "name": "x", "secret": "y"}, "secret"),
        ({"kind": "demo", "name": "x", "from_environment": True}, "from_environment"),
        ({"kind": "demo", "name": "x", "enabled": "yes"}, "enabled"),
        ({"kind": "demo", "name": "x", "enabled": None}, "enabled"),
        ({"kind": "demo", "name": "x", "locality": "moon"}, "locality"),
        ({"kind": "vllm", "name": "x", "base_url": 5}, "base_url"),
        ({"kind": "vllm", "name": "x", "base_url": "http://" + "a" * 600}, "base_url"),
        ({"kind": "vllm", "name": "x", "base_url": "http://localhost", "models": "m"}, "models"),
        ({"kind": "vllm", "name": "x", "base_url": "http://localhost", "models": ["m" * 301]}, "models.0"),
        ({"kind": "openai", "name": "x", "api_key": ""}, "api_key"),
        ({"kind": "openai", "name": "x", "api_key": "sk-\r\nx: y"}, "api_key"),
        ({"kind": "openai", "name": "x", "api_key": "sk-é"}, "api_key"),
        ({"kind": "openai", "name": "x", "api_key": "x" * 4001}, "api_key"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_bad_field_is_named(api: ApiClient, fields: dict[str, Any], param: str) -> None:
    refused(api.post(PATH, fields), 400, param)
    assert not Provider.objects.exists()


def test_a_refusal_never_repeats_the_key(api: ApiClient) -> None:
    for key in ("sk-with space", "sk-é-1234567", ["sk-in-a-list"], {"k": "sk-in-an-object"}):
        answer = api.post(PATH, kind="openai", name="x", api_key=key)
        assert answer.status == 400
        assert "sk-" not in answer.text


def test_names_are_unique_without_regard_to_case(api: ApiClient, provider: Provider, stranger: Caller) -> None:
    refused(api.post(PATH, kind="demo", name="BOX"), 409, "name")
    other = api.post(PATH, kind="demo", name="other").json
    refused(api.patch(f"{PATH}/{other['id']}", name="Box"), 409, "name")
    assert api.patch(path_of(provider), name="Box").status == 200
    assert ApiClient.of(stranger).post(PATH, kind="demo", name="box").status == 201


def test_a_kind_cannot_be_changed(api: ApiClient, provider: Provider) -> None:
    refused(api.patch(path_of(provider), kind="openai"), 400, "kind")


def every_write(client: ApiClient, provider: Provider) -> list[ApiAnswer]:
    return [
        client.patch(path_of(provider), name="mine"),
        client.patch(path_of(provider), enabled=False),
        client.post(path_of(provider, "test")),
        client.delete(path_of(provider)),
    ]


def test_a_stranger_sees_no_provider(provider: Provider, stranger: Caller, server: Server) -> None:
    server.requests.clear()
    theirs = ApiClient.of(stranger)
    assert theirs.get(PATH).json["data"] == []
    assert [answer.status for answer in every_write(theirs, provider)] == [404] * 4
    assert server.requests == []
    provider.refresh_from_db()
    assert (provider.name, provider.enabled) == ("box", True)


def test_members_read_and_admins_manage(provider: Provider, viewer: Caller, member: Caller, admin: Caller) -> None:
    for caller in (viewer, member):
        client = ApiClient.of(caller)
        assert [row["name"] for row in client.get(PATH).json["data"]] == ["box"]
        answers = [client.post(PATH, kind="demo", name="x"), *every_write(client, provider)]
        assert [(answer.status, answer.error["code"]) for answer in answers] == [(403, "permission_denied")] * 5
    client = ApiClient.of(admin)
    assert client.post(PATH, kind="demo", name="x").status == 201
    assert [answer.status for answer in every_write(client, provider)] == [200, 200, 200, 204]


def test_nobody_gets_in_without_a_token(anonymous: ApiClient, provider: Provider) -> None:
    assert [answer.status for answer in [anonymous.get(PATH), *every_write(anonymous, provider)]] == [401] * 5


def test_wrong_methods(api: ApiClient, provider: Provider) -> None:
    for method, path in (("PUT", PATH), ("GET", path_of(provider)), ("GET", path_of(provider, "test"))):
        assert api.request(method, path).status == 405


def test_a_workspace_has_so_many_providers_at_most(
    api: ApiClient, owner: Caller, provider: Provider, stranger: Caller
) -> None:
    """Every process keeps each provider's models in memory: one tenant must not fill it for all."""
    Provider.objects.bulk_create(
        Provider(workspace=owner.workspace, kind="demo", name=f"p{number}", locality="local") for number in range(99)
    )
    answer = api.post(PATH, kind="demo", name="x")
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert ApiClient.of(stranger).post(PATH, kind="demo", name="x").status == 201


def test_a_refused_secret_is_an_event_once(api: ApiClient, server: Server, provider: Provider) -> None:
    server.json("/v1/models", {}, status=401)
    path = f"/api/keys/providers/{provider.pk}"
    for _ in range(3):
        assert "refused" in api.post(f"{path}/test").json["error"]

    event = Event.objects.get()
    assert event.kind == "provider.refused"
    assert event.data == {"provider_id": str(provider.pk), "name": "box", "reason": "The key was refused (401)."}

    api.patch(path, api_key="sk-another-0123456789")
    assert Event.objects.count() == 2
    server.models("tiny")
    api.post(f"{path}/test")
    server.json("/v1/models", {}, status=401)
    api.post(f"{path}/test")
    assert Event.objects.count() == 3
