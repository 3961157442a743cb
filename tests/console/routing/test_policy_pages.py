"""Policies: listed, made, changed, taken back to a version, removed."""

import pytest

from accounts.access import Caller
from keys import services as keys
from keys.models import GatewayKey
from routing import services
from routing.forms import PolicyForm
from routing.models import Policy
from tests.console.browser import Browser
from tests.console.routing.forms import BALANCED, says


def test_a_workspace_without_policies_sees_what_is_built_in(browser: Browser) -> None:
    page = browser.get("policies")

    assert "Balanced (built in) default" in page
    assert "40%" in page
    assert "Balanced (built in)" in browser.get("policy-built-in")


def test_a_policy_is_made_from_what_is_built_in(browser: Browser) -> None:
    page = browser.post(
        "policy-new", **{**BALANCED, "cost": 60, "quality": 20, "speed": 20}, name="frugal", default="on",
        privacy_mode="strict", models="llama3.1:8b\n\ncloud/gpt-5", max_cost_usd="0.25", min_expert="0.7",
        vision_local="llava", calibrate="on",
    )  # fmt: skip

    made = Policy.objects.get()
    said = says(made)
    assert "frugal is in force." in browser.follow(page)
    assert (made.is_default, said["privacy_mode"], said["calibrate"]) == (True, "strict", True)
    assert said["weights"] == {"cost": 60, "quality": 20, "speed": 20}
    assert said["models"] == ["llama3.1:8b", "cloud/gpt-5"]
    assert said["max_cost_usd"] == "0.25"
    assert said["min_quality"] == {"simple": None, "moderate": None, "complex": None, "expert": 0.7}
    assert said["tasks"]["vision"] == {"local": "llava", "cloud": None}  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a/b"}, "hold no '/'"),
        ({"name": "auto"}, "auto"),
        ({"cost": -1}, "Must be at least 0."),
        ({"cost": 0, "quality": 0, "speed": 0}, "Must not all be zero"),
        ({"cost": "nan"}, "Enter a number."),
        ({"cost": "much"}, "Enter a number."),
        ({"min_expert": "1.5"}, "Must be at most 1."),
        ({"models": "policy/other"}, "is no model"),
        ({"total": 0}, "Must be above 0."),
        ({"max_cost_usd": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_lost(
    browser: Browser, fields: dict[str, object], complaint: str
) -> None:
    page = browser.post("policy-new", **({**BALANCED, "name": "mine", "fallbacks": "kept-model"} | fields), htmx=True)

    assert page.status == 422
    assert complaint in page
    assert "kept-model" in page.html
    assert not Policy.objects.exists()


@pytest.mark.parametrize(
    ("fields", "open"),
    [
        ({"total": 0}, True),
        ({"total": 90_000}, True),
        ({"vision_local": "auto"}, True),
        # Changed there, and refused for something else.
        ({"cost": -1, "connect": 7}, True),
        ({"cost": -1, "vision_local": "llava"}, True),
        ({"cost": -1}, False),
    ],
)
def test_the_fold_stays_open_over_what_is_wrong_or_changed(
    browser: Browser, fields: dict[str, object], open: bool
) -> None:
    form = PolicyForm(document={})
    tasks = {field.name: field.initial for field in form.task_fields}

    page = browser.post("policy-new", **({**BALANCED, **tasks, "name": "mine"} | fields), htmx=True)

    assert page.status == 422
    assert ('<details class="disclosure" open>' in page.html) is open


def test_a_change_is_a_version_and_leaves_what_the_form_does_not_show(browser: Browser, policy: Policy) -> None:
    fields = {**BALANCED, "cost": 100, "quality": 0, "speed": 0, "name": "frugal"}
    fields |= {"semantic_cache": "on", "threshold": "0.9"}
    same = browser.post("policy", policy.pk, **fields, chat_local="dolphin-mistral-nemo",
                        chat_cloud="gemini-2.5-flash", vision_local="qwen3-vl:8b", vision_cloud="gemini-2.5-flash",
                        ocr_local="deepseek-ocr:3b", ocr_cloud="gemini-2.5-flash")  # fmt: skip
    assert "Nothing changed." in browser.follow(same)

    page = browser.post("policy", policy.pk, **fields, hedge="on")

    assert "Version 2 is in force." in browser.follow(page)
    assert says(policy)["cache"] == {
        "exact": None, "semantic": True, "threshold": 0.9, "max_false_hits": 0.01, "check_share": 0.02, "judge": None,
    }  # fmt: skip
    assert says(policy)["weights"] == {"cost": 1.0, "quality": 0.0, "speed": 0.0}


def test_a_version_comes_back_with_one_click(browser: Browser, owner: Caller, policy: Policy) -> None:
    services.change_policy(owner, policy, {"hedge": True})

    page = browser.post("policy-roll-back", policy.pk, version="1")

    assert "Version 3 is in force" in browser.follow(page)
    assert says(policy)["hedge"] is False
    assert "Rolled back to version 1" in browser.get("policy", policy.pk)


@pytest.mark.parametrize("version", ["9", "0", "x", "", "9" * 30])
def test_a_version_that_is_none_changes_nothing(browser: Browser, policy: Policy, version: str) -> None:
    page = browser.post("policy-roll-back", policy.pk, version=version)

    assert page.status == 303
    policy.refresh_from_db()
    assert policy.version == 1


def test_a_policy_that_keys_name_cannot_be_removed(browser: Browser, owner: Caller, policy: Policy) -> None:
    key, _ = keys.create_key(owner, {"name": "bot", "policy": "frugal"})

    assert browser.post("policy-remove", policy.pk).status == 422
    assert "'bot'" in browser.post("policy-remove", policy.pk)
    keys.revoke_key(owner, key)
    page = browser.post("policy-remove", policy.pk)

    assert "frugal is removed." in browser.follow(page)
    assert not Policy.objects.exists()


@pytest.mark.usefixtures("fleet")
def test_models_that_nobody_lists_are_saved_and_told_of(browser: Browser, policy: Policy) -> None:
    lists = {"models": "cloud/gpt-5\ngpt-9", "fallbacks": "llama3.1:8b\ncloud/*"}
    made = browser.follow(browser.post("policy-new", **BALANCED, name="mine", **lists))
    quiet = browser.follow(browser.post("policy", policy.pk, **BALANCED, name="frugal", models="gpt-5"))
    key = browser.post("gateway-key-new", name="bot", scopes=["inference"], allowed_models="gpt-5\nopus-77")
    id = GatewayKey.objects.get().pk
    changed = browser.post("gateway-key", id, name="bot", scopes=["inference"], allowed_models="*")
    fine = browser.post("gateway-key", id, name="bot", scopes=["inference"], allowed_models="gpt-5")

    assert "mine is in force. No provider here lists gpt-9; * is not a wildcard." in made
    assert says(Policy.objects.get(name="mine"))["models"] == ["cloud/gpt-5", "gpt-9"]
    assert "Version 2 is in force." in quiet
    assert "No provider here lists opus-77." in key
    assert "The changes are saved. * is not a wildcard." in browser.follow(changed)
    assert "lists" not in quiet.text.partition("Version 2 is in force.")[2][:40]
    assert "wildcard" not in browser.follow(fine)


def test_a_gateway_key_takes_one_of_the_policies(browser: Browser, policy: Policy) -> None:
    browser.post("gateway-key-new", name="bot", scopes=["inference"], policy="frugal")
    refused = browser.post("gateway-key-new", name="bot2", scopes=["inference"], policy="dear", htmx=True)

    assert GatewayKey.objects.get().policy == "frugal"
    assert "not one of the available choices" in refused


def test_a_policy_names_the_library_that_its_requests_search(browser: Browser, owner: Caller) -> None:
    stored = {"library": "Handbook", "top_k": 3, "filters": {"year": {"gte": 2020}}}
    policy = services.create_policy(owner, {"name": "grounded", "rag": stored})
    assert 'value="Handbook"' in browser.get("policy", policy.pk).html

    browser.post("policy", policy.pk, **BALANCED, name="grounded", rag_library="Guide")
    assert says(Policy.objects.get())["rag"] == {**stored, "library": "Guide", "top_k": 5}

    browser.post("policy", policy.pk, **BALANCED, name="grounded", rag_library="")
    assert says(Policy.objects.get())["rag"] is None
