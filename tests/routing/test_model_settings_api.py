"""`/api/routing/models` and `/health`: what is known of each target, what a workspace sets itself, how it is."""

from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.access import Caller
from analytics import pricing
from analytics.usage import Usage
from keys.models import Provider
from routing import health
from routing.health import Health
from routing.models import ModelSettings
from routing.snapshot import Snapshot
from tests.api_client import ApiClient
from tests.routing.conftest import MakeProvider

PATH = "/api/routing/models"
HEALTH = "/api/routing/health"
MINI = f"{PATH}/cloud/gpt-4o-mini"


@pytest.fixture
def cloud(make_provider: MakeProvider) -> Provider:
    return make_provider("cloud", "openai", "gpt-4o-mini", "house/secret-model:1")


def shown(api: ApiClient, picture: Snapshot) -> dict[str, dict[str, Any]]:
    picture.read_all()
    return {row["id"]: row for row in api.get(PATH).json["data"]}


# --- Models ----------------------------------------------------------------------------------------


def test_every_target_is_listed_with_what_is_known(
    api: ApiClient, picture: Snapshot, cloud: Provider, make_provider: MakeProvider
) -> None:
    make_provider("box", "vllm", "llama")
    rows = shown(api, picture)
    assert list(rows) == ["box/llama", "cloud/gpt-4o-mini", "cloud/house/secret-model:1"]
    mini, secret, llama = rows["cloud/gpt-4o-mini"], rows["cloud/house/secret-model:1"], rows["box/llama"]
    assert (mini["provider"], mini["model"], mini["kind"], mini["local"]) == ("cloud", "gpt-4o-mini", "openai", False)
    assert (mini["input_usd_per_mtok"], mini["output_usd_per_mtok"]) == ("0.15", "0.6")
    assert mini["price_source"].startswith("litellm")
    assert mini["context_window"] == 128_000
    assert mini["settings"] == dict.fromkeys(mini["settings"])
    assert (secret["input_usd_per_mtok"], secret["price_source"], secret["assumed"]) == (None, "unknown", True)
    assert (llama["input_usd_per_mtok"], llama["price_source"], llama["local"]) == ("0", "local", True)


def test_what_the_workspace_sets_holds_and_null_takes_it_back(
    api: ApiClient, picture: Snapshot, owner: Caller, cloud: Provider
) -> None:
    before = shown(api, picture)["cloud/gpt-4o-mini"]
    wanted = {
        "input_usd_per_mtok": "0.123456789012", "cached_input_usd_per_mtok": "0.01", "output_usd_per_mtok": "7",
        "quality": 0.9, "context_window": 5000, "enabled": False,
    }  # fmt: skip
    changed = api.patch(MINI, wanted)
    assert changed.status == 200
    assert {name: changed.json[name] for name in wanted} == wanted
    assert changed.json["settings"] == wanted
    assert (changed.json["price_source"], changed.json["quality_source"]) == ("workspace", "workspace")
    assert shown(api, picture)["cloud/gpt-4o-mini"] == changed.json
    [target] = [target for target in picture.workspace(str(owner.workspace.pk)).all if target.model == "gpt-4o-mini"]
    usage = Usage(prompt=1_000_000, completion=1)
    assert pricing.cost(target.facts.price, usage) == Decimal("0.123463789012")
    assert api.patch(MINI, quality=None).json["quality"] == before["quality"]
    assert api.patch(MINI, dict.fromkeys(wanted)).json == before
    assert shown(api, picture)["cloud/gpt-4o-mini"] == before


def test_half_a_price_is_none_where_nothing_else_is_known(api: ApiClient, picture: Snapshot, cloud: Provider) -> None:
    path = f"{PATH}/cloud/house/secret-model:1"
    assert api.patch(path, input_usd_per_mtok="1").json["input_usd_per_mtok"] is None
    priced = api.patch(path, output_usd_per_mtok=2).json
    assert (priced["input_usd_per_mtok"], priced["output_usd_per_mtok"]) == ("1", "2")
    assert priced["settings"]["output_usd_per_mtok"] == "2"


def test_a_model_that_is_switched_off_leaves_auto_and_stays_visible(
    api: ApiClient, picture: Snapshot, owner: Caller, cloud: Provider
) -> None:
    api.patch(MINI, enabled=False)
    assert shown(api, picture)["cloud/gpt-4o-mini"]["enabled"] is False
    view = picture.workspace(str(owner.workspace.pk))
    assert [target.model for target in view.automatic] == ["house/secret-model:1"]
    assert "gpt-4o-mini" in view.by_model


def test_settings_outlive_a_model_that_vanishes_for_a_while(api: ApiClient, picture: Snapshot, cloud: Provider) -> None:
    api.patch(MINI, quality=0.9)
    Provider.objects.update(discovered_models=["other"])
    assert list(shown(api, picture)) == ["cloud/other"]
    assert api.patch(MINI, context_window=1).status == 200
    Provider.objects.update(discovered_models=["gpt-4o-mini"])
    assert shown(api, picture)["cloud/gpt-4o-mini"]["quality"] == 0.9


def test_nothing_changes_nothing(api: ApiClient, picture: Snapshot, cloud: Provider) -> None:
    before = shown(api, picture)["cloud/gpt-4o-mini"]
    assert api.patch(MINI, {"id": "cloud/gpt-4o-mini"}).json == before
    assert not ModelSettings.objects.exists()


def test_the_list_comes_in_pages(api: ApiClient, picture: Snapshot, make_provider: MakeProvider) -> None:
    make_provider("box", "vllm", "c", "a", "b")
    picture.read_all()
    for path in (PATH, HEALTH):
        first = api.get(path, limit=2).json
        rest = api.get(path, limit=2, cursor=first["next_cursor"]).json
        assert [row["model"] for row in first["data"] + rest["data"]] == ["a", "b", "c"]
        assert rest["next_cursor"] is None
        for query in ({"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": "W10"}):
            assert api.get(path, **query).status == 400


def test_more_models_take_no_more_queries(
    api: ApiClient, picture: Snapshot, make_provider: MakeProvider, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("box", "bag", "bin"):
        make_provider(name, "vllm", *(f"m{number}" for number in range(50)))
    picture.read_all()
    with django_assert_num_queries(2):  # the session, the membership
        assert len(api.get(PATH, limit=500).json["data"]) == 150
    with django_assert_num_queries(3):  # and the providers' errors
        assert len(api.get(HEALTH, limit=500).json["data"]) == 150


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_usd_per_mtok", "-1"), ("input_usd_per_mtok", "1.0000000000001"), ("output_usd_per_mtok", "NaN"),
        ("output_usd_per_mtok", True), ("output_usd_per_mtok", "1000000"), ("cached_input_usd_per_mtok", "cheap"),
        ("quality", 1.1), ("quality", -0.1), ("quality", "0.5"), ("quality", True), ("context_window", 0),
        ("context_window", "8k"), ("context_window", 1.5), ("context_window", 10**12), ("enabled", "no"),
        ("enabled", 1), ("capabilities", ["vision"]), ("id", "cloud/other"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_the_fields_name(api: ApiClient, cloud: Provider, field: str, value: object) -> None:
    answer = api.patch(MINI, {field: value})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_request_error", field)
    assert not ModelSettings.objects.exists()


def test_only_an_admin_sets(viewer: Caller, member: Caller, admin: Caller, picture: Snapshot, cloud: Provider) -> None:
    picture.read_all()
    for caller in (viewer, member):
        api = ApiClient.of(caller)
        assert [api.get(path).status for path in (PATH, HEALTH)] == [200, 200]
        assert (api.patch(MINI, quality=1).status, api.patch(MINI, quality=1).error["code"]) == (
            403, "permission_denied",
        )  # fmt: skip
    assert ApiClient.of(admin).patch(MINI, quality=1).status == 200


def test_a_stranger_finds_nothing(stranger: Caller, picture: Snapshot, cloud: Provider) -> None:
    picture.read_all()
    api = ApiClient.of(stranger)
    assert (api.get(PATH).json["data"], api.get(HEALTH).json["data"]) == ([], [])
    assert api.patch(MINI, quality=1).status == 404


def test_a_name_with_a_nul_is_unknown_though_the_rest_of_it_is_known(
    api: ApiClient, picture: Snapshot, cloud: Provider
) -> None:
    assert api.patch(MINI, quality=0.5).status == 200
    assert api.patch(f"{MINI}%00", quality=1).status == 404


@pytest.mark.parametrize("name", ["cloud/unknown", "cloud", "cloud/", "none/gpt-4o-mini", "Cloud/gpt-4o-mini", "%00/x"])
def test_a_model_that_is_not_there_is_not_found(api: ApiClient, cloud: Provider, name: str) -> None:
    assert api.patch(f"{PATH}/{name}", quality=1).status == 404


def test_wrong_methods_and_no_token(api: ApiClient, anonymous: ApiClient, picture: Snapshot, cloud: Provider) -> None:
    picture.read_all()
    wrong = [api.post(PATH), api.delete(MINI), api.get(MINI), api.post(HEALTH)]
    assert [answer.status for answer in wrong] == [405] * 4
    assert [anonymous.get(PATH).status, anonymous.patch(MINI).status, anonymous.get(HEALTH).status] == [401] * 3


def test_before_the_first_reading_it_says_so(api: ApiClient, picture: Snapshot) -> None:
    answer = api.get(PATH)
    assert (answer.status, answer.error["code"]) == (503, "not_ready")


# --- Health ----------------------------------------------------------------------------------------


def test_health_tells_what_asking_found(
    api: ApiClient, picture: Snapshot, owner: Caller, cloud: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Health()
    monkeypatch.setattr(health, "current", known)
    Provider.objects.update(last_error="refused the connection")
    picture.read_all()
    targets = {target.model: target for target in picture.workspace(str(owner.workspace.pk)).all}
    mini = targets["gpt-4o-mini"]
    slow = known.begin(mini, stream=True)
    assert slow is not None
    for _ in range(10):
        flight = known.begin(mini, stream=False)
        if flight is not None:
            flight.failed("answered with 500")
    broken, untouched = api.get(HEALTH).json["data"]
    assert (broken["id"], broken["state"], broken["in_flight"]) == ("cloud/gpt-4o-mini", "open", 1)
    assert "answered with 500" in broken["reason"]
    assert broken["retry_in_s"] > 0
    assert broken["error_rate"] > 0.5
    slow.first_byte()
    assert api.get(HEALTH).json["data"][0]["latency_ms"] > 0
    assert (untouched["state"], untouched["error_rate"], untouched["latency_ms"]) == ("closed", 0.0, None)
    assert untouched["last_error"] == "refused the connection"
