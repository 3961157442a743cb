"""The routing pages: policies with their preview and versions, what a workspace knows of models, the health board."""

import re

import pytest

from accounts.access import Caller
from keys import services as keys
from keys.models import GatewayKey, Provider
from routing import health, services, snapshot
from routing.forms import PolicyForm
from routing.models import ModelSettings, Policy
from routing.providers.base import Target
from tests.console.browser import Browser
from tests.console.conftest import queries_of

# What the form sends for a policy that says what is built in.
BALANCED: dict[str, object] = {
    "cost": 40, "quality": 35, "speed": 25, "classifier": "rules",
    "connect": 5, "first_byte": 120, "idle": 60, "total": 600,
}  # fmt: skip


@pytest.fixture
def fleet(owner: Caller) -> Provider:
    """A cloud provider and a local one, known to the request path."""
    provider = keys.create_provider(
        owner, {"kind": "openai", "name": "cloud", "api_key": "sk-1", "models": ["gpt-4o-mini", "gpt-5"]}
    )
    keys.create_provider(
        owner, {"kind": "vllm", "name": "house", "base_url": "http://127.0.0.1:9", "models": ["llama3.1:8b"]}
    )
    snapshot.current.read_all()
    return provider


@pytest.fixture
def policy(owner: Caller) -> Policy:
    return services.create_policy(
        owner, {"name": "frugal", "weights": {"cost": 1}, "cache": {"semantic": True, "threshold": 0.9}}
    )


def says(policy: Policy) -> dict[str, object]:
    policy.refresh_from_db()
    document: dict[str, object] = policy.versions.get(version=policy.version).document
    return document


# --- Policies ------------------------------------------------------------------------------------


def test_a_workspace_without_policies_sees_what_is_built_in(browser: Browser) -> None:
    page = browser.get("policies")

    assert "Balanced default Built in" in page
    assert "40 %" in page
    assert "Balanced" in browser.get("policy-built-in")


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
    same = browser.post("policy", policy.pk, **fields, chat_local="dolphin-mistral-nemo",
                        chat_cloud="gemini-2.5-flash", vision_local="qwen3-vl:8b", vision_cloud="gemini-2.5-flash",
                        ocr_local="deepseek-ocr:3b", ocr_cloud="gemini-2.5-flash")  # fmt: skip
    assert "Nothing changed." in browser.follow(same)

    page = browser.post("policy", policy.pk, **fields, hedge="on")

    assert "Version 2 is in force." in browser.follow(page)
    assert says(policy)["cache"] == {"exact": None, "semantic": True, "threshold": 0.9}
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


# --- The preview ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("fleet")
def test_a_draft_shows_what_it_would_do_before_it_is_saved(browser: Browser) -> None:
    draft = {**BALANCED, "name": "draft"}
    free = browser.post("policy-preview", **draft, prompt="Hello there", htmx=True)
    strict = browser.post("policy-preview", **draft, privacy_mode="strict", prompt="Hello there", htmx=True)

    assert "cloud" in free
    assert "Score" in free
    assert "Goes to house/llama3.1:8b" in strict
    assert "2 left out" in strict
    assert strict.text.count("it is not local") == 2
    assert not Policy.objects.exists()


@pytest.mark.usefixtures("fleet")
def test_a_request_that_nobody_may_answer_goes_nowhere(browser: Browser) -> None:
    page = browser.post(
        "policy-preview", **BALANCED, name="draft", models="cloud/gpt-5", prompt="Hello", sensitivity="confidential"
    )

    assert "nowhere" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": ""}, "Type a prompt"),
        ({"prompt": "x" * 20_001}, "20000 characters"),
        ({"prompt": "hi", "cost": "-4"}, "cannot be used: Cost: must be at least 0."),
        ({"prompt": "hi", "cost": 0, "quality": 0, "speed": 0}, "must not all be zero"),
        ({"prompt": "hi", "min_simple": "1.5"}, "Least quality, simple: must be at most 1."),
        ({"prompt": "hi", "connect": 0}, "Timeouts, connect: must be above 0."),
        ({"prompt": "hi", "complexity": "vast"}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_previewed_says_why(browser: Browser, fields: dict[str, object], said: str) -> None:
    page = browser.post("policy-preview", **({**BALANCED, "name": "draft"} | fields), htmx=True)

    assert page.status == 200
    assert said in page


@pytest.mark.usefixtures("fleet")
def test_what_the_classifier_saw_is_in_words_and_without_what_it_did_not_see(browser: Browser) -> None:
    page = browser.post("policy-preview", **BALANCED, prompt="Prove that there are infinitely many primes.", htmx=True)

    assert "Ask tokens" in page
    assert "Images" not in page


@pytest.mark.usefixtures("fleet")
def test_without_the_forms_fields_the_stored_policy_is_tried(viewer: Caller, owner: Caller) -> None:
    strict = services.create_policy(owner, {"name": "house", "privacy_mode": "strict"})
    browser = Browser(viewer)

    # What a browser sends of a page whose form is disabled.
    assert f'name="policy" value="{strict.pk}"' in browser.get("policy", strict.pk).html
    assert 'name="policy"' not in browser.get("policy-built-in").html
    stored = browser.post("policy-preview", policy=strict.pk, prompt="Hello there", htmx=True)
    built_in = browser.post("policy-preview", prompt="Hello there", htmx=True)
    draft = Browser(owner).post("policy-preview", **BALANCED, policy=strict.pk, prompt="Hello there", htmx=True)

    assert "Goes to house/llama3.1:8b" in stored
    assert "2 left out" in stored
    assert "left out" not in built_in
    assert "left out" not in draft


@pytest.mark.usefixtures("fleet")
def test_a_strangers_policy_is_not_tried(stranger: Caller, policy: Policy) -> None:
    assert Browser(stranger).post("policy-preview", policy=policy.pk, prompt="Hello", htmx=True).status == 404
    assert Browser(stranger).post("policy-preview", policy="no-id", prompt="Hello", htmx=True).status == 404


# --- Models --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fleet")
def test_models_are_listed_with_what_is_known_of_them(browser: Browser) -> None:
    page = browser.get("models")
    found = browser.get("models", q="LLAMA", htmx=True)

    assert "gpt-5 cloud" in page
    assert "llama3.1:8b" in found
    assert "gpt-5" not in found
    assert "No model matches" in browser.get("models", q="nothing like it")


def test_without_providers_there_are_no_models_yet(browser: Browser) -> None:
    assert "No models yet" in browser.get("models")
    assert "Nothing to watch yet" in browser.get("fleet")


@pytest.mark.usefixtures("fleet")
def test_a_workspace_knows_better_and_takes_it_back(browser: Browser) -> None:
    page = browser.post("model", "cloud/gpt-5", input_usd_per_mtok="1.5", output_usd_per_mtok="12", quality="0.9")

    assert "The changes are saved." in browser.follow(page)
    own = ModelSettings.objects.get()
    assert (str(own.input_usd_per_mtok), own.quality, own.enabled) == ("1.500000000000", 0.9, False)
    assert "switched off" in browser.get("model", "cloud/gpt-5")

    browser.post("model", "cloud/gpt-5", enabled="on")

    own.refresh_from_db()
    assert (own.input_usd_per_mtok, own.quality, own.enabled) == (None, None, None)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"quality": "2"}, "Must be at most 1."),
        ({"input_usd_per_mtok": "-1"}, "greater than or equal to 0"),
        ({"input_usd_per_mtok": "0.0000000000001"}, "12 decimal places"),
        ({"output_usd_per_mtok": "1000000"}, "less than 1000000"),
        ({"context_window": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named(browser: Browser, fields: dict[str, object], complaint: str) -> None:
    page = browser.post("model", "cloud/gpt-5", enabled="on", **fields, htmx=True)

    assert page.status == 422
    assert complaint in page
    assert not ModelSettings.objects.exists()


# --- Health --------------------------------------------------------------------------------------


def test_the_board_shows_who_rests_and_who_did_not_answer(
    browser: Browser, owner: Caller, fleet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "current", health.Health())
    target: Target = next(
        target for target in snapshot.current.workspace(str(owner.workspace.pk)).all if target.model == "gpt-5"
    )
    for _ in range(5):
        flight = health.current.begin(target, stream=False, last_resort=True)
        assert flight is not None
        flight.failed("the connection was refused")
    Provider.objects.filter(pk=fleet.pk).update(last_error="Nobody is there.")

    page = browser.get("fleet", htmx=True)

    assert "rests" in page
    assert "cloud did not answer when it was asked for its models. Nobody is there." in page
    assert "not asked yet" in page
    assert "<html" not in page.html


def test_the_board_says_who_fails_often_and_whose_trial_is_due(
    browser: Browser, owner: Caller, fleet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(health, "current", health.Health(lambda: now))
    targets = {target.model: target for target in snapshot.current.workspace(str(owner.workspace.pk)).all}

    def ask(model: str, *outcomes: bool) -> None:
        for answered in outcomes:
            flight = health.current.begin(targets[model], stream=False, last_resort=True)
            assert flight is not None
            flight.completed(1) if answered else flight.failed("the connection was refused")

    ask("gpt-5", *[True] * 5, False)
    ask("gpt-4o-mini", True)
    ask("llama3.1:8b", *[False] * 5)
    before = browser.get("fleet", htmx=True)
    now += 3600
    after = browser.get("fleet", htmx=True)

    assert "gpt-5 cloud fails often asked last" in before
    assert "gpt-4o-mini cloud healthy" in before
    assert re.search(r"llama3.1:8b house rests \d+ s", before.text)
    assert "a trial is due" in after
    # htmx complains about one that is not there.
    assert 'hx-indicator="this"' in before.html


def test_a_refused_key_shows_where_the_provider_does(
    browser: Browser, owner: Caller, stranger: Caller, fleet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "current", health.Health())
    health.current.credential_of = snapshot.current.credential
    target = next(target for target in snapshot.current.workspace(str(owner.workspace.pk)).all if not target.local)
    assert "Refuses its key" not in browser.get("providers")
    flight = health.current.begin(target, stream=False)
    assert flight is not None
    flight.denied(snapshot.current.credential(str(fleet.pk)) or "", "it refuses our key (401)")

    assert browser.get("providers").text.count("Refuses its key") == 1
    assert "It refuses our key (401)." in browser.get("provider", fleet.pk)
    assert "Refuses its key" not in Browser(stranger).get("providers")

    keys.change_provider(owner, fleet, {"api_key": "sk-2"})
    snapshot.current.read_all()

    assert "Refuses its key" not in browser.get("providers")


# --- Who may ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fleet")
def test_a_viewer_sees_everything_and_changes_nothing(viewer: Caller, policy: Policy) -> None:
    browser = Browser(viewer)

    assert "Only an admin" in browser.get("policy", policy.pk)
    assert "Only an admin" in browser.get("model", "cloud/gpt-5")
    assert "New policy" not in browser.get("policies")
    assert "Goes to" in browser.post("policy-preview", **BALANCED, name="x", prompt="Hello", htmx=True)
    assert browser.get("policy-new").status == 403
    assert browser.post("policy", policy.pk, **BALANCED, name="x").status == 403
    assert browser.post("policy-roll-back", policy.pk, version="1").status == 403
    assert browser.post("policy-remove", policy.pk).status == 403
    assert browser.post("model", "cloud/gpt-5", quality="1").status == 403


@pytest.mark.usefixtures("fleet")
def test_a_stranger_finds_nothing(stranger: Caller, policy: Policy) -> None:
    browser = Browser(stranger)

    assert "frugal" not in browser.get("policies")
    assert "gpt-5" not in browser.get("models")
    assert "gpt-5" not in browser.get("fleet")
    for page in ("policy", "policy-roll-back", "policy-remove"):
        assert browser.post(page, policy.pk).status == 404
    assert browser.get("model", "cloud/gpt-5").status == 404
    assert "gpt-5" not in browser.post("policy-preview", **BALANCED, name="x", prompt="Hello", htmx=True)


def test_the_wrong_method_is_refused(browser: Browser, policy: Policy) -> None:
    assert browser.get("policy-preview").status == 405
    assert browser.get("policy-roll-back", policy.pk).status == 405
    assert browser.post("fleet").status == 405


@pytest.mark.usefixtures("fleet")
def test_pages_hold_nothing_inline(browser: Browser, policy: Policy) -> None:
    for name in ("policies", "policy-new", "policy-built-in", "models", "fleet"):
        assert browser.get(name).inline == []
    assert browser.get("policy", policy.pk).inline == []
    assert browser.get("model", "cloud/gpt-5").inline == []


def test_queries_do_not_grow_with_the_policies(browser: Browser, owner: Caller, policy: Policy) -> None:
    few = queries_of(lambda: browser.get("policies"))
    for number in range(10):
        services.create_policy(owner, {"name": f"policy-{number}"})

    assert queries_of(lambda: browser.get("policies")) == few
