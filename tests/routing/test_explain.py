"""Explain says what the next request would do, because it runs the same code; it sends and changes nothing."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.lib.errors import ApiError, InvalidRequest
from keys.queries import KeyFacts
from routing.classify import classify
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.explain import explain
from routing.health import Health
from routing.parse import read_body
from routing.policies import Weights
from routing.policy import chosen, decide
from routing.sticky import Conversations
from routing.targets import WorkspaceTargets
from tests.routing.stage import caller_of, policy_with, provider, settings, view_of

MESSAGES = [{"role": "user", "content": "Prove that there are infinitely many primes."}]
CONTRACT = {"complexity", "complexity_score", "features", "candidates", "chosen", "fallbacks"}
OF_CANDIDATES = {"model", "provider", "cost_score", "quality_score", "speed_score", "score"}


@pytest.fixture
def view() -> WorkspaceTargets:
    strict = policy_with(name="House", version=3, privacy_mode="strict")
    return view_of(
        provider("cloud", "openai", ("gpt-4o", "gpt-4o-mini", "gpt-5", "nobody-knows-it")),
        provider("here", models=("llama3.3:70b", "house-made")),
        policies=(strict,),
        settings={"cloud/gpt-4o": settings(enabled=False)},
    )


def ask(view: WorkspaceTargets, caller: KeyFacts | None = None, **given: Any) -> dict[str, Any]:
    policy = given.pop("policy", None)
    health, conversations = given.pop("health", None) or Health(), given.pop("conversations", None) or Conversations()
    body = {"messages": MESSAGES, **given}
    answer = explain(view, health, caller, body, policy=policy, conversations=conversations)
    return dict(json.loads(json.dumps(answer, allow_nan=False)))


def test_it_has_the_contracts_fields(view: WorkspaceTargets) -> None:
    answer = ask(view)
    assert set(answer) >= CONTRACT
    assert answer["complexity"] in ("simple", "moderate", "complex", "expert")
    assert 0 <= answer["complexity_score"] <= 1
    for candidate in answer["candidates"]:
        assert set(candidate) >= OF_CANDIDATES
        assert ("excluded_because" in candidate) == (candidate["score"] is None)
    assert len(answer["candidates"]) == 6
    assert answer["chosen"] == answer["candidates"][0]["id"]
    assert answer["fallbacks"] == [each["id"] for each in answer["candidates"][1:] if "excluded_because" not in each]
    assert answer["snapshot"] == view.version


def test_the_policys_classifier_judges_and_its_features_are_shown(view: WorkspaceTargets) -> None:
    rules, learned = (ask(view, policy=policy_with(classifier=kind)) for kind in ("rules", "learned"))
    assert rules["features"]["messages"] == learned["features"]["messages"] == 1
    assert rules["complexity_score"] != learned["complexity_score"]


def test_each_excluded_candidate_has_its_reason(view: WorkspaceTargets) -> None:
    excluded = {each["id"]: each["excluded_because"] for each in ask(view)["candidates"] if "excluded_because" in each}
    assert excluded == {"cloud/gpt-4o": "it is disabled in this workspace"}
    assert "cloud/gpt-4o" not in ask(view)["fallbacks"]


def test_it_says_where_the_figures_are_from(view: WorkspaceTargets) -> None:
    found = {each["id"]: each for each in ask(view)["candidates"]}
    known, unknown, local = found["cloud/gpt-5"], found["cloud/nobody-knows-it"], found["here/house-made"]
    assert known["price_source"].startswith("litellm")
    assert Decimal(known["cost_usd"]) > 0
    assert "LMArena" in known["quality_source"]
    assert (unknown["price_source"], unknown["cost_usd"]) == ("unknown", None)
    assert (local["price_source"], local["cost_usd"], local["local"]) == ("local", "0", True)
    assert (local["quality_source"], local["quality"]) == ("assumed", 0.5)
    assert (local["measured"], local["breaker"], local["error_rate"]) == (False, "closed", 0)


def test_a_key_brings_its_limits_and_its_policy(view: WorkspaceTargets) -> None:
    answer = ask(view, caller_of(policy="house", allowed_models=frozenset({"house-made", "gpt-5"})))
    assert answer["policy"] == {"name": "House", "version": 3}
    assert (answer["chosen"], answer["fallbacks"]) == ("here/house-made", [])
    assert answer["privacy"] == "local_only"


def test_the_requests_own_fields_count(view: WorkspaceTargets) -> None:
    answer = ask(view, sensitivity="confidential", complexity="expert", task="ocr", model="policy/house")
    assert (answer["complexity"], answer["task"]) == ("expert", "ocr")
    assert all(name.startswith("here/") for name in [answer["chosen"], *answer["fallbacks"]])


def test_a_draft_stands_in_for_the_policy(view: WorkspaceTargets) -> None:
    cheap, good = (
        ask(view, policy=policy_with(name="draft", version=0, weights=weights), complexity="simple")
        for weights in (Weights(1, 0, 0), Weights(0, 1, 0))
    )
    assert cheap["chosen"].startswith("here/")
    assert good["chosen"] == "cloud/gpt-5"
    assert good["policy"] == {"name": "draft", "version": 0}
    assert good["weights"] == {"cost": 0, "quality": 1, "speed": 0}


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"model": "nobody"}, 404, "model_not_found"),
        ({"model": "policy/nobody"}, 404, "model_not_found"),
        ({"model": "gpt-5", "privacy_mode": "strict"}, 403, "permission_denied"),
        ({"policy": policy_with(models=frozenset({"gone"}))}, 503, "no_available_model"),
        ({"policy": policy_with(min_quality=dict.fromkeys(("simple", "moderate", "complex", "expert"), 1.0))}, 503,
         "no_available_model"),
    ],
)  # fmt: skip
def test_nobody_may_answer(view: WorkspaceTargets, given: dict[str, Any], status: int, code: str) -> None:
    answer = ask(view, **given)
    assert (answer["chosen"], answer["fallbacks"]) == (None, [])
    assert (answer["refusal"]["status"], answer["refusal"]["code"]) == (status, code)
    assert answer["refusal"]["message"]
    assert all(each["excluded_because"] for each in answer["candidates"])


def test_a_key_whose_policy_is_gone(view: WorkspaceTargets) -> None:
    answer = ask(view, caller_of(policy="gone"))
    assert answer["chosen"] is None
    assert (answer["refusal"]["status"], "'gone'" in answer["refusal"]["message"]) == (403, True)


@pytest.mark.parametrize("body", [{"messages": []}, {"messages": "hello"}, {"model": 7}, {"complexity": "hard"}, {}])
def test_what_no_request_may_say(view: WorkspaceTargets, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        explain(view, Health(), None, body if "messages" in body or not body else {"messages": MESSAGES, **body})


def test_it_changes_nothing(view: WorkspaceTargets) -> None:
    body = {"messages": MESSAGES, "complexity": "simple", "metadata": {"a": "b"}}
    before = json.dumps(body)
    health, conversations = Health(), Conversations()
    explain(view, health, caller_of(), body, conversations=conversations)
    assert json.dumps(body) == before
    assert health.states() == []
    assert len(conversations) == 0


def test_it_shows_a_conversation_that_stays(view: WorkspaceTargets) -> None:
    conversations, first = Conversations(), Exchange(CHAT, caller=caller_of(), body={"messages": MESSAGES})
    first.label = classify(CHAT, first.body, first.wishes)
    first.policy, first.target = view.default_policy, view.targets["cloud"][2]
    conversations.keep(first)
    turns = [*MESSAGES, {"role": "assistant", "content": "Suppose not."}, {"role": "user", "content": "Go on."}]
    answer = ask(view, caller_of(), messages=turns, conversations=conversations)
    assert answer["chosen"] == "cloud/gpt-5"
    assert any("stays on cloud/gpt-5" in note for note in answer["notes"])


@given(
    st.sampled_from(["auto", "gpt-5", "here/house-made", "policy/house", "nobody"]),
    st.sampled_from(["", "strict"]),
    st.sampled_from(["", "internal", "confidential"]),
    st.sampled_from(["", "simple", "expert"]),
    st.sampled_from([{}, {"tools": [{}]}, {"response_format": {"type": "json_object"}}, {"max_tokens": 10**7}]),
    st.booleans(),
)
def test_the_request_does_what_was_explained(
    model: str, privacy: str, sensitivity: str, complexity: str, more: dict[str, Any], calibrate: bool
) -> None:
    draft = policy_with(calibrate=calibrate, fallbacks=("house-made", "gone"))
    view = view_of(
        provider("cloud", "openai", ("gpt-4o", "gpt-5")),
        provider("here", "llamacpp", ("house-made",)),
        policies=(policy_with(name="house", min_quality={"expert": 0.7}),),
        default=draft,
        evidence={("gpt-5", "simple"): (0.0, 30.0)},
    )
    wishes = {"privacy_mode": privacy, "sensitivity": sensitivity, "complexity": complexity}
    body = {"model": model, "messages": MESSAGES, **more, **{name: value for name, value in wishes.items() if value}}
    answer = ask(view, caller_of(), **body)
    exchange = Exchange(CHAT, caller=caller_of())
    read_body(exchange, json.dumps(body).encode(), {})
    try:
        exchange.policy = chosen(exchange, view)
        exchange.label = classify(CHAT, exchange.body, exchange.wishes)
        targets = [target.id for target in decide(exchange, view, Health()).targets]
    except ApiError as error:
        assert answer["chosen"] is None
        refused = {"status": error.status, "code": error.code, "message": error.message}
        assert answer["refusal"] == refused
    else:
        assert [answer["chosen"], *answer["fallbacks"]] == targets
