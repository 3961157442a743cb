"""`/api/routing/policies`: what an admin can do with policies, and everything that is refused."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.access import Caller
from keys.models import GatewayKey
from keys.services import create_key, revoke_key
from routing import services
from routing.models import Policy, PolicyVersion
from routing.queries import policies
from tests.api_client import ApiClient

PATH = "/api/routing/policies"
KEYS = "/api/keys/gateway"
EVERYTHING = {
    "name": "Ünïcode 🔑", "weights": {"cost": 80.0, "quality": 10.0, "speed": 10.0}, "models": ["gpt-4o", "box/llama"],
    "min_quality": {"simple": None, "moderate": 0.2, "complex": 0.5, "expert": 1.0}, "fallbacks": ["box/a", "b"],
    "privacy_mode": "strict", "internal_may_leave": True, "max_cost_usd": "0.000000000001",
    "cache": {
        "exact": False, "semantic": True, "threshold": 0.9, "max_false_hits": 0.005, "check_share": 0.1,
        "judge": "small",
    },
    "rag": {"library": "handbook", "top_k": 3, "filters": {"year": {"gte": 2020}}},
    "classifier": "learned", "default": True, "calibrate": True, "hedge": True,
    "timeouts": {"connect": 1.0, "first_byte": 2.0, "idle": 3.0, "total": 4.0},
    "tasks": {
        "chat": {"local": "a", "cloud": None}, "vision": {"local": None, "cloud": "c"},
        "ocr": {"local": None, "cloud": None},
    },
}  # fmt: skip


@pytest.fixture
def policy(owner: Caller) -> Policy:
    return services.create_policy(owner, {"name": "cheap", "weights": {"cost": 1, "quality": 0, "speed": 0}})


def path_of(policy: Policy, *more: str) -> str:
    return "/".join((PATH, str(policy.pk), *more))


# --- It works --------------------------------------------------------------------------------------


def test_a_policy_with_nothing_but_a_name_is_complete(api: ApiClient) -> None:
    answer = api.post(PATH, name="  plain ")
    assert answer.status == 201
    made = answer.json
    assert (made["name"], made["version"], made["default"]) == ("plain", 1, False)
    assert made["weights"] == {"cost": 0.4, "quality": 0.35, "speed": 0.25}
    assert (made["models"], made["fallbacks"], made["privacy_mode"], made["classifier"]) == (None, [], None, "rules")
    assert made["timeouts"] == {"connect": 5.0, "first_byte": 120.0, "idle": 60.0, "total": 600.0}
    assert made["tasks"]["vision"] == {"local": "qwen3-vl:8b", "cloud": "gemini-2.5-flash"}
    assert api.get(f"{PATH}/{made['id']}").json == made
    assert api.get(PATH).json == {"data": [made], "next_cursor": None}


def test_every_field_is_taken_kept_and_shown(api: ApiClient, owner: Caller) -> None:
    made = api.post(PATH, EVERYTHING).json
    assert {name: made[name] for name in EVERYTHING} == EVERYTHING
    known = policies()[str(owner.workspace.pk)]
    facts = known.by_name["ünïcode 🔑"]
    assert known.default is facts
    assert (facts.weights.cost, facts.weights.quality, facts.weights.speed) == (0.8, 0.1, 0.1)
    assert facts.models == frozenset({"gpt-4o", "box/llama"})
    assert facts.min_quality == {"moderate": 0.2, "complex": 0.5, "expert": 1.0}
    assert facts.tasks == {"chat": ("a", ""), "vision": ("", "c"), "ocr": ("", "")}
    assert (facts.privacy_mode, facts.max_cost_usd, facts.timeouts.total) == ("strict", 1e-12, 4.0)


def test_a_change_replaces_the_fields_it_names_and_keeps_the_others(api: ApiClient) -> None:
    made = api.post(PATH, EVERYTHING).json
    changed = api.patch(f"{PATH}/{made['id']}", weights={"speed": 1}, models=None, fallbacks=["x", "y", "x"]).json
    assert changed["weights"] == {"cost": 0.0, "quality": 0.0, "speed": 1.0}
    assert (changed["models"], changed["fallbacks"], changed["version"]) == (None, ["x", "y"], 2)
    kept = EVERYTHING.keys() - {"weights", "models", "fallbacks"}
    assert {name: changed[name] for name in kept} == {name: EVERYTHING[name] for name in kept}


def test_null_goes_back_to_the_default(api: ApiClient) -> None:
    made = api.post(PATH, EVERYTHING).json
    nothing = dict.fromkeys(EVERYTHING.keys() - {"name"})
    plain = api.post(PATH, name="plain").json
    changed = api.patch(f"{PATH}/{made['id']}", nothing).json
    assert {name: changed[name] for name in nothing} == {name: plain[name] for name in nothing}


def test_there_is_one_default_and_it_moves(api: ApiClient) -> None:
    first = api.post(PATH, name="first", default=True).json
    second = api.post(PATH, name="second", default=True).json
    assert {policy["name"]: policy["default"] for policy in api.get(PATH).json["data"]} == {
        "first": False, "second": True,
    }  # fmt: skip
    assert api.patch(f"{PATH}/{first['id']}", default=True).json["default"] is True
    assert api.get(f"{PATH}/{second['id']}").json["default"] is False
    assert api.patch(f"{PATH}/{first['id']}", default=False).json["default"] is False
    assert Policy.objects.filter(is_default=True).count() == 0


def test_a_key_names_a_policy_that_exists_and_follows_its_renaming(api: ApiClient, policy: Policy) -> None:
    made = api.post(KEYS, name="ci", policy="CHEAP").json
    assert made["policy"] == "cheap"
    for answer in (api.post(KEYS, name="x", policy="none"), api.patch(f"{KEYS}/{made['id']}", policy="none")):
        assert (answer.status, answer.error["param"]) == (400, "policy")
        assert "no policy named 'none'" in answer.error["message"]
    assert api.patch(path_of(policy), name="frugal").json["name"] == "frugal"
    assert [key["policy"] for key in api.get(KEYS).json["data"]] == ["frugal"]


def test_the_built_in_policy_has_one_name_which_nobody_else_takes(api: ApiClient, policy: Policy) -> None:
    assert api.post(KEYS, name="ci", policy="balanced").json["policy"] == "Balanced"
    for name in ("Balanced", "balanced", "default"):
        for answer in (api.post(PATH, name=name), api.patch(path_of(policy), name=name)):
            assert (answer.status, answer.error["param"]) == (409, "name")
            assert f"The name '{name}' is reserved" in answer.error["message"]


def test_another_workspaces_policy_and_keys_stay_out_of_it(api: ApiClient, stranger: Caller, policy: Policy) -> None:
    services.create_policy(stranger, {"name": "theirs"})
    services.create_policy(stranger, {"name": "cheap"})
    create_key(stranger, {"name": "k", "policy": "cheap"})
    assert api.post(KEYS, name="x", policy="theirs").status == 400
    api.patch(path_of(policy), name="frugal")
    assert GatewayKey.objects.get(workspace=stranger.workspace).policy == "cheap"
    assert api.delete(path_of(policy)).status == 204


def test_the_default_may_be_removed(api: ApiClient, owner: Caller) -> None:
    made = api.post(PATH, name="x", default=True).json
    assert api.delete(f"{PATH}/{made['id']}").status == 204
    assert api.get(PATH).json["data"] == []
    assert PolicyVersion.objects.count() == 0
    assert str(owner.workspace.pk) not in policies()


def test_the_list_comes_in_pages(api: ApiClient, owner: Caller) -> None:
    for number in range(3):
        services.create_policy(owner, {"name": f"p{number}"})
    first = api.get(PATH, limit=2).json
    rest = api.get(PATH, limit=2, cursor=first["next_cursor"]).json
    assert [policy["name"] for policy in first["data"] + rest["data"]] == ["p2", "p1", "p0"]
    assert rest["next_cursor"] is None


def test_more_policies_take_no_more_queries(
    api: ApiClient, owner: Caller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    services.create_policy(owner, {"name": "p"})
    api.get(PATH)
    with django_assert_num_queries(4):  # the session, the membership, the policies, their versions
        api.get(PATH)
    for number in range(20):
        services.create_policy(owner, {"name": f"p{number}"})
    with django_assert_num_queries(4):
        assert len(api.get(PATH).json["data"]) == 21


# --- It refuses ------------------------------------------------------------------------------------


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "a/b"}, "name"),
    ({"name": "Auto"}, "name"),
    ({"name": "policy"}, "name"),
    ({"name": "x" * 61}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": None}, "name"),
    ({"name": 5}, "name"),
    ({"weights": {"cost": -1, "quality": 1, "speed": 1}}, "weights.cost"),
    ({"weights": {"cost": 0, "quality": 0, "speed": 0}}, "weights"),
    ({"weights": {}}, "weights"),
    ({"weights": {"cost": "1"}}, "weights.cost"),
    ({"weights": {"cost": True}}, "weights.cost"),
    ({"weights": {"cost": None}}, "weights.cost"),
    ({"weights": {"cost": 1e300}}, "weights.cost"),
    ({"weights": {"cost": 1, "price": 1}}, "weights.price"),
    ({"weights": [1, 2, 3]}, "weights"),
    ({"models": []}, "models"),
    ({"models": "gpt-4o"}, "models"),
    ({"models": [""]}, "models.0"),
    ({"models": ["auto"]}, "models.0"),
    ({"models": ["m"] * 201}, "models"),
    ({"fallbacks": ["policy/other"]}, "fallbacks.0"),
    ({"fallbacks": [str(number) for number in range(21)]}, "fallbacks"),
    ({"fallbacks": ["x" * 301]}, "fallbacks.0"),
    ({"min_quality": {"expert": 1.01}}, "min_quality.expert"),
    ({"min_quality": {"expert": "0.5"}}, "min_quality.expert"),
    ({"min_quality": {"easy": 0.5}}, "min_quality.easy"),
    ({"privacy_mode": "open"}, "privacy_mode"),
    ({"max_cost_usd": "-1"}, "max_cost_usd"),
    ({"max_cost_usd": "NaN"}, "max_cost_usd"),
    ({"max_cost_usd": True}, "max_cost_usd"),
    ({"max_cost_usd": "0.0000000000001"}, "max_cost_usd"),
    ({"cache": {"threshold": 2}}, "cache.threshold"),
    ({"cache": True}, "cache"),
    ({"rag": {}}, "rag.library"),
    ({"rag": {"library": "x", "top_k": 0}}, "rag.top_k"),
    ({"rag": {"library": "x", "filters": {"a": "b" * 4000}}}, "rag.filters"),
    ({"rag": {"library": "x", "filters": {"a": ["\0"]}}}, "rag.filters"),
    ({"rag": {"library": "x", "filters": {"a": {"\0": 1}}}}, "rag.filters"),
    ({"rag": {"library": "x", "filters": {"a": 2**53 + 1}}}, "rag.filters"),
    ({"rag": {"library": "x", "filters": {"a": -1e300}}}, "rag.filters"),
    ({"rag": {"library": "x", "filters": {"a": {"like": "b"}}}}, "rag.filters.a.like"),
    ({"classifier": "magic"}, "classifier"),
    ({"default": "yes"}, "default"),
    ({"calibrate": 1}, "calibrate"),
    ({"hedge": "true"}, "hedge"),
    ({"internal_may_leave": 0}, "internal_may_leave"),
    ({"timeouts": {"connect": 0}}, "timeouts.connect"),
    ({"timeouts": {"total": 1e9}}, "timeouts.total"),
    ({"tasks": {"chat": {"local": ""}}}, "tasks.chat.local"),
    ({"tasks": {"speech": {}}}, "tasks.speech"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize(("fields", "param"), BAD)
def test_bad_input_is_refused_by_the_fields_name(
    api: ApiClient, policy: Policy, fields: dict[str, Any], param: str
) -> None:
    answer = api.post(PATH, fields if not fields or "name" in fields else {"name": "x", **fields})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_request_error", param)
    if fields:
        answer = api.patch(path_of(policy), fields)
        assert (answer.status, answer.error["param"]) == (400, param)
    assert list(Policy.objects.values_list("name", "version")) == [("cheap", 1)]


def test_a_filter_from_before_it_was_checked_is_shown_and_goes_with_the_next_change(api: ApiClient) -> None:
    made = api.post(PATH, name="old", rag={"library": "x"}).json
    version = PolicyVersion.objects.get(policy=made["id"])
    version.document["rag"]["filters"] = {"a": {"like": "b"}}
    version.save()
    assert api.get(PATH).json["data"][0]["rag"]["filters"] == {"a": {"like": "b"}}
    assert api.patch(f"{PATH}/{made['id']}", hedge=True).status == 200
    assert api.patch(f"{PATH}/{made['id']}", rag={"library": "x"}).json["rag"]["filters"] == {}
    assert api.post(f"{PATH}/{made['id']}/rollback", version=1).error["param"] == "rag.filters.a.like"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": "x", "weights": {"cost": NaN}}'])
def test_a_body_that_is_no_object_is_refused(api: ApiClient, body: bytes) -> None:
    assert api.post(PATH, body).status == 400


def test_a_name_is_taken_in_any_case(api: ApiClient, policy: Policy) -> None:
    other = api.post(PATH, name="ÄRGER").json
    for answer in (
        api.post(PATH, name="CHEAP"),
        api.patch(f"{PATH}/{other['id']}", name="Cheap"),
        api.post(PATH, name="ärger"),
    ):
        assert (answer.status, answer.error["code"], answer.error["param"]) == (409, "conflict", "name")
    assert api.patch(path_of(policy), name="Cheap").json["name"] == "Cheap"


def test_a_policy_that_keys_name_stays(api: ApiClient, owner: Caller, policy: Policy) -> None:
    keys = [create_key(owner, {"name": f"key {number}", "policy": "cheap"})[0] for number in range(7)]
    refused = api.delete(path_of(policy))
    assert (refused.status, refused.error["code"]) == (409, "conflict")
    assert "'key 0', 'key 1', 'key 2', 'key 3', 'key 4', …" in refused.error["message"]
    for key in keys:
        revoke_key(owner, key)
    assert api.delete(path_of(policy)).status == 204


def test_a_workspace_has_its_fill_of_policies(
    api: ApiClient, owner: Caller, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.services.policies.MAX_POLICIES", 2)
    assert api.post(PATH, name="two").status == 201
    assert api.post(PATH, name="three").status == 409


def test_a_viewer_and_a_member_only_read(viewer: Caller, member: Caller, admin: Caller, policy: Policy) -> None:
    for caller in (viewer, member):
        api = ApiClient.of(caller)
        assert [api.get(path).status for path in (PATH, path_of(policy), path_of(policy, "versions"))] == [200] * 3
        for answer in (
            api.post(PATH, name="x"),
            api.patch(path_of(policy), name="x"),
            api.delete(path_of(policy)),
            api.post(path_of(policy, "rollback"), version=1),
        ):
            assert (answer.status, answer.error["code"]) == (403, "permission_denied")
    assert ApiClient.of(admin).patch(path_of(policy), hedge=True).status == 200


def test_a_strangers_policy_does_not_exist(stranger: Caller, policy: Policy) -> None:
    api = ApiClient.of(stranger)
    for path in (path_of(policy), f"{PATH}/nonsense"):
        answers = [
            api.get(path), api.patch(path, name="x"), api.delete(path), api.get(f"{path}/versions"),
            api.post(f"{path}/rollback", version=1),
        ]  # fmt: skip
        assert [answer.status for answer in answers] == [404] * 5
    assert api.get(PATH).json["data"] == []


def test_nobody_is_let_in_without_a_token(anonymous: ApiClient, policy: Policy) -> None:
    assert [anonymous.get(PATH).status, anonymous.post(PATH, name="x").status] == [401, 401]


def test_wrong_methods_are_refused(api: ApiClient, policy: Policy) -> None:
    wrong = [
        api.request("PUT", PATH), api.delete(PATH), api.post(path_of(policy)), api.post(path_of(policy, "versions")),
        api.get(path_of(policy, "rollback")),
    ]  # fmt: skip
    assert [answer.status for answer in wrong] == [405] * 5
