"""A strict request has no candidate that is not local: under any policy, fallback, hedge or override."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.lib.errors import ApiError, ModelNotFound, NoAvailableModel, PermissionDenied, UnsupportedByBackend
from keys.kinds import KINDS
from routing.decision import Decision
from routing.exchange import Wishes
from routing.health import Health
from routing.policies import PolicyFacts
from routing.privacy import guard
from routing.sticky import Conversations
from routing.targets import WorkspaceTargets
from tests.routing.stage import caller_of, decided, ids, policy_with, provider, request, settings, view_of

MODELS = ("m1", "m2", "gpt-4o-mini", "gemini-2.5-flash", "text-embedding-3-small")
NAMES = (*MODELS, *(f"p{number}/{model}" for number in range(4) for model in (*MODELS, "unlisted")))
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]

listed = st.lists(st.sampled_from(MODELS), max_size=3, unique=True).map(tuple)
rows = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.booleans(), listed, listed), max_size=4)
documents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "models": st.none() | st.frozensets(st.sampled_from(NAMES), max_size=3),
        "fallbacks": st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
        "internal_may_leave": st.booleans(),
        "min_quality": st.sampled_from([{}, {"simple": 0.6}]),
        "max_cost_usd": st.sampled_from([None, 0.0001]),
        "tasks": st.sampled_from([{}, {"chat": ("m1", "gpt-4o-mini"), "vision": ("m1", "gpt-4o-mini")}]),
        "hedge": st.booleans(),
        "calibrate": st.booleans(),
    }
)
asked = st.sampled_from(["auto", "policy/loose", "policy/strict", *NAMES])
# Every way to be strict. The others say the opposite meanwhile.
WAYS = ("key", "the key's policy", "the default policy", "the policy that is asked for", "request", "confidential",
        "internal, which may not leave")  # fmt: skip


def decision(
    found: list[Any], document: dict[str, Any], model: str, way: str, body: dict[str, Any], wishes: dict[str, Any]
) -> Decision:
    loose = policy_with(**document, name="loose", id="1", privacy_mode="flexible")
    strict = policy_with(**document, name="strict", id="2", privacy_mode="strict")
    default: PolicyFacts = strict if way == "the default policy" else loose
    if way == "internal, which may not leave":
        loose = default = policy_with(**{**document, "internal_may_leave": False}, name="loose", id="1")
    if way == "the policy that is asked for":
        model = "policy/strict"
    elif way == "the default policy" and model.startswith("policy/"):
        model = "auto"
    view = view_of(
        *(
            provider(f"p{number}", kind, models, local=local, discovered=discovered)
            for number, (kind, local, models, discovered) in enumerate(found)
        ),
        policies=(loose, strict),
        default=default,
    )
    caller = caller_of(
        privacy_mode="strict" if way == "key" else "flexible", policy="strict" if way == "the key's policy" else ""
    )
    said = Wishes(
        privacy_mode="strict" if way == "request" else "flexible",
        sensitivity={"confidential": "confidential", "internal, which may not leave": "internal"}.get(way, "public"),
        **wishes,
    )
    exchange = request(model, caller=caller, wishes=said, **body)
    conversations, health = Conversations(tell=lambda kind, news: None), Health()
    if view.all:
        # The conversation was on any of them, and whoever is there fails.
        exchange.target = view.all[-1]
        conversations.keep(exchange)
        for _ in range(3):
            flight = health.begin(view.all[0], stream=False)
            if flight is not None:
                flight.failed("HTTP 500")
    return decided(exchange, view, health, conversations)


@given(
    rows,
    documents,
    asked,
    st.sampled_from(WAYS),
    st.sampled_from([{}, {"tools": [{}]}, {"messages": TURNS}, {"max_tokens": 10**6}]),
    st.sampled_from([{}, {"task": "vision"}, {"complexity": "expert"}]),
)
def test_no_strict_request_has_a_candidate_in_the_cloud(
    found: list[Any],
    document: dict[str, Any],
    model: str,
    way: str,
    body: dict[str, Any],
    wishes: dict[str, Any],
) -> None:
    try:
        decided = decision(found, document, model, way, body, wishes)
    except (PermissionDenied, ModelNotFound, UnsupportedByBackend, NoAvailableModel):
        return
    assert decided.targets
    assert decided.local_only
    assert all(target.local for target in decided.targets)
    assert all(each.target.local for each in decided.candidates if not each.excluded_because)


def both() -> WorkspaceTargets:
    return view_of(
        provider("cloud", "openai", ("m",)),
        provider("here", models=("m",)),
        settings={"cloud/m": settings(quality=0.99)},
    )


@pytest.mark.parametrize("model", ["auto", "m"])
def test_what_is_internal_prefers_to_stay_and_leaves_where_the_policy_says_so(model: str) -> None:
    internal = Wishes(sensitivity="internal", complexity="expert")
    assert ids(decided(request(model, wishes=internal), both())) == ["here/m"]
    leaving = policy_with(internal_may_leave=True)
    assert ids(decided(request(model, wishes=internal), both(), policy=leaving)) == ["here/m", "cloud/m"]
    assert ids(decided(request("cloud/m", wishes=internal), both(), policy=leaving)) == ["cloud/m"]
    with pytest.raises(ApiError, match="must stay on local models"):
        decided(request("cloud/m", wishes=internal), both())


def test_a_key_keeps_the_privacy_of_its_policy_whichever_the_request_names() -> None:
    view = view_of(
        provider("cloud", "openai", ("gpt-4o",)),
        provider("here", models=("m",)),
        policies=(policy_with(name="strict", privacy_mode="strict"), policy_with(name="loose", id="2")),
    )
    bound = request("policy/loose", caller=caller_of(policy="strict"))
    assert ids(decided(bound, view)) == ["here/m"]


def test_a_key_keeps_the_privacy_of_its_policy_while_that_is_renamed() -> None:
    """The key was read a moment before the policies were, so it still has the former name."""
    strict, loose = policy_with(name="now", privacy_mode="strict"), policy_with(name="loose", id="2")
    view = view_of(provider("cloud", "openai", ("gpt-4o",)), provider("here", models=("m",)), policies=(strict, loose))
    view = dataclasses.replace(view, former_policies={"before": strict})
    for model in ("policy/loose", "auto"):
        assert ids(decided(request(model, caller=caller_of(policy="before")), view)) == ["here/m"]
    with pytest.raises(PermissionDenied, match="does not exist"):
        decided(request("policy/loose", caller=caller_of(policy="gone")), view)


def test_what_is_internal_leaves_only_where_the_keys_policy_says_so_too() -> None:
    view = view_of(
        provider("cloud", "openai", ("gpt-4o",)),
        provider("here", models=("m",)),
        policies=(policy_with(name="home"), policy_with(name="open", id="2", internal_may_leave=True)),
    )
    internal = Wishes(sensitivity="internal")
    for named, own, allowed in (
        ("policy/open", "home", ["here/m"]),
        ("policy/home", "open", ["here/m"]),
        ("policy/open", "open", ["here/m", "cloud/gpt-4o"]),
        ("policy/open", "", ["here/m", "cloud/gpt-4o"]),
    ):
        assert ids(decided(request(named, wishes=internal, caller=caller_of(policy=own)), view)) == allowed


def test_a_refusal_names_the_field_and_the_cloud() -> None:
    with pytest.raises(PermissionDenied, match=r"'cloud' \(openai, cloud\)") as refused:
        decided(request("cloud/m", wishes=Wishes(privacy_mode="strict")), both())
    assert refused.value.param == "privacy_mode"


def test_whoever_sends_a_strict_request_looks_once_more() -> None:
    view = both()
    cloud, here = view.targets["cloud"][0], view.targets["here"][0]
    strict = decided(request(wishes=Wishes(privacy_mode="strict")), view)
    guard(strict, here)
    with pytest.raises(PermissionDenied):
        guard(strict, cloud)
    guard(decided(request(), view), cloud)
