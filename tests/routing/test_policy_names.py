"""What the `model` of a request stands for, which policy holds, and what follows when a named model fails."""

import pytest

from routing.exchange import Wishes
from routing.naming import embedders_named
from tests.routing.stage import (
    caller_of,
    decided,
    ids,
    opened,
    policy_with,
    provider,
    reasons,
    refusal,
    request,
    settings,
    view_of,
)


def test_a_provider_and_a_model_is_that_alone() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("m",)))
    decision = decided(request("b/m"), view)
    assert (ids(decision), decision.named) == (["b/m"], True)


def test_a_bare_model_is_anybody_who_serves_it() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("m", "n")))
    assert set(ids(decided(request("m"), view))) == {"a/m", "b/m"}


@pytest.mark.parametrize("model", ["a/m", "m"])
def test_a_named_model_falls_back_to_what_the_policy_names_in_order(model: str) -> None:
    view = view_of(provider("a", models=("m", "other")), provider("b", models=("x", "n")))
    policy = policy_with(fallbacks=("gone", "b/x", "m", "n", "b/x"))
    decision = decided(request(model), view, policy=policy)
    assert ids(decision) == ["a/m", "b/x", "b/n"]
    told = " ".join(decision.notes)
    assert "'gone' of the policy 'ours' is skipped: no enabled provider serves it" in told
    assert "leads back to 'a/m'" in told
    assert "leads back to 'b/x'" in told


def test_a_fallback_obeys_the_key_and_the_privacy() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)), provider("c", "openai", ("gpt-4o",)))
    policy = policy_with(fallbacks=("n", "gpt-4o"))
    limited = request("m", caller=caller_of(allowed_models=frozenset({"m", "gpt-4o"})))
    assert ids(decided(limited, view, policy=policy)) == ["a/m", "c/gpt-4o"]
    strict = request("m", wishes=Wishes(privacy_mode="strict"))
    assert ids(decided(strict, view, policy=policy)) == ["a/m", "b/n"]


def test_a_fallback_does_not_stand_in_for_a_model_that_may_not_be_asked() -> None:
    view = view_of(provider("a", models=("m",)), provider("c", "openai", ("gpt-4o",)))
    error = refusal(request("gpt-4o", wishes=Wishes(privacy_mode="strict")), view, policy=policy_with(fallbacks=("m",)))
    assert (error.status, error.code) == (403, "permission_denied")


def test_a_fallback_stands_in_for_a_model_that_rests() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    decision = decided(request("m"), view, opened(view, "a/m"), policy=policy_with(fallbacks=("n",)))
    assert ids(decision) == ["b/n", "a/m"]


def test_the_demo_is_never_a_fallback() -> None:
    view = view_of(provider("a", models=("m",)), provider("toy", "demo", ("demo",)))
    decision = decided(request("m"), view, policy=policy_with(fallbacks=("demo",)))
    assert ids(decision) == ["a/m"]
    assert decision.notes == ["The fallback 'demo' is skipped: the demo is never a fallback."]


def test_auto_does_not_choose_a_model_that_embeds() -> None:
    view = view_of(provider("c", "openai", (), discovered=("text-embedding-3-small", "gpt-4o-mini")))
    assert ids(decided(request(), view)) == ["c/gpt-4o-mini"]


def test_auto_takes_the_demo_where_nothing_else_is_on() -> None:
    demo, other = provider("toy", "demo", ("demo",)), provider("a", models=("m",))
    decision = decided(request(), view_of(demo, other))
    assert ids(decision) == ["a/m"]
    assert reasons(decision) == {"toy/demo": "it is the demo, which 'auto' takes only where no other model is enabled"}
    assert ids(decided(request(), view_of(demo, other, settings={"a/m": settings(enabled=False)}))) == ["toy/demo"]


def test_the_policy_is_the_requests_then_the_keys_then_the_workspaces() -> None:
    mine, keys, default = (policy_with(name=name, id=name) for name in ("Mine", "Keys", "Default"))
    view = view_of(provider("a", models=("m",)), policies=(mine, keys, default), default=default)

    def policy_of(model: str, own: str = "") -> str:
        return decided(request(model, caller=caller_of(policy=own)), view).policy.name

    assert policy_of("auto") == policy_of("m") == "Default"
    assert policy_of("auto", "keys") == policy_of("a/m", "KEYS") == "Keys"
    assert policy_of("policy/mine", "keys") == policy_of("policy/Mine") == "Mine"


def test_an_unknown_policy_is_not_found() -> None:
    view = view_of(provider("a", models=("m",)), policies=(policy_with(name="Frugal"),))
    error = refusal(request("policy/nobody"), view)
    assert (error.status, error.code) == (404, "model_not_found")
    assert error.message == "There is no policy 'nobody' here; GET /v1/models lists those that there are."
    assert "Did you mean 'policy/Frugal'?" in refusal(request("policy/frugl"), view).message


def test_the_built_in_policy_can_be_named_unless_there_is_another_of_its_name() -> None:
    own = policy_with(name="Ours", models=frozenset({"gone"}))
    view = view_of(provider("a", models=("m",)), policies=(own,), default=own)
    decision = decided(request("policy/balanced"), view)
    assert (decision.policy.name, ids(decision)) == ("Balanced", ["a/m"])
    assert decided(request("auto", caller=caller_of(policy="Balanced")), view).policy.name == "Balanced"
    namesake = policy_with(name="balanced", id="1")
    view = view_of(provider("a", models=("m",)), policies=(namesake,))
    assert decided(request("policy/Balanced"), view).policy.id == "1"


@pytest.mark.parametrize("model", ["auto", "m", "policy/loose"])
def test_a_key_whose_policy_is_gone_is_refused(model: str) -> None:
    """It may have been a strict one."""
    view = view_of(provider("a", models=("m",)), policies=(policy_with(name="loose"),))
    error = refusal(request(model, caller=caller_of(policy="gone")), view)
    assert (error.status, error.code) == (403, "permission_denied")
    assert "'gone'" in error.message


def test_nobody_answers_for_the_gateways_own_models() -> None:
    view = view_of(provider("cloud", "openai", ("gateway/all-MiniLM-L6-v2", "text-embedding-3-small")))
    (found,) = embedders_named("gateway/all-MiniLM-L6-v2", view, strict=False)
    assert (found.provider, found.local) == ("gateway", True)
    (found,) = embedders_named("text-embedding-3-small", view, strict=False)
    assert found.provider == "cloud"
