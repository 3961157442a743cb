"""Who may answer a request at all, filter by filter, and what breakers make of that."""

from typing import Any

import pytest

from routing.exchange import Wishes
from routing.health import Health
from routing.targets import MAX_TARGETS
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

PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
SOUND = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def test_a_model_that_is_switched_off() -> None:
    view = view_of(provider("a", models=("m", "n")), settings={"a/m": settings(enabled=False)})
    decision = decided(request(), view)
    assert ids(decision) == ["a/n"]
    assert reasons(decision) == {"a/m": "it is disabled in this workspace"}


def test_lists_without_end_make_no_targets_without_end() -> None:
    names = tuple(f"m{number}" for number in range(MAX_TARGETS - 1))
    view = view_of(*(provider(name, "openai", discovered=names) for name in ("a", "b", "c")))
    assert len(view.all) == MAX_TARGETS
    assert [len(view.targets[name]) for name in ("a", "b", "c")] == [MAX_TARGETS - 1, 1, 0]
    assert ids(decided(request("c/m7"), view)) == ["c/m7"]


def test_what_was_set_holds_for_a_model_that_its_provider_does_not_list() -> None:
    """It may have listed the model when that was set, and need not list an alias at all."""
    view = view_of(
        provider("c", "openai"), settings={"c/alias": settings(into=2, out=4), "c/off": settings(enabled=False)}
    )
    assert decided(request("c/alias"), view).targets[0].facts.price.source == "workspace"
    assert refusal(request("c/off"), view).code == "model_not_found"


def test_a_named_model_that_is_switched_off_is_not_found() -> None:
    view = view_of(provider("a", models=("m",)), settings={"a/m": settings(enabled=False)})
    error = refusal(request("m"), view)
    assert (error.status, error.code) == (404, "model_not_found")
    assert "disabled in this workspace" in error.message


@pytest.mark.parametrize("allowed", ["n", "b/n"])
def test_a_model_that_the_key_may_not_use(allowed: str) -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    decision = decided(request(caller=caller_of(allowed_models=frozenset({allowed}))), view)
    assert ids(decision) == ["b/n"]
    assert reasons(decision) == {"a/m": "this gateway key may not use it"}


def test_a_key_that_may_use_auto_may_use_what_auto_chooses() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    assert len(decided(request(caller=caller_of(allowed_models=frozenset({"auto"}))), view).targets) == 2


@pytest.mark.parametrize(
    ("body", "kind", "able", "unable", "lacking"),
    [
        ({"tools": TOOLS}, "ollama", "llama3.1:8b", "gemma3:4b", "tools"),
        ({"messages": PICTURE}, "openai", "gpt-4o", "gpt-3.5-turbo", "vision"),
        ({"messages": SOUND}, "openai", "gpt-4o-audio-preview", "gpt-4o", "audio"),
        ({"response_format": {"type": "json_schema"}}, "groq", "llama-3.3-70b-versatile", "gemma2-9b-it", "json"),
        ({"reasoning_effort": "high"}, "openai", "o3", "gpt-4o", "reasoning"),
    ],
    ids=lambda value: value if type(value) is str else "",
)
def test_a_model_that_cannot_do_what_is_asked(
    body: dict[str, Any], kind: str, able: str, unable: str, lacking: str
) -> None:
    view = view_of(provider("p", kind, (able, unable)))
    decision = decided(request(**body), view)
    assert ids(decision) == [f"p/{able}"]
    assert reasons(decision)[f"p/{unable}"] == f"the model lacks: {lacking}"


def test_no_effort_is_no_reasoning() -> None:
    view = view_of(provider("cloud", "openai", ("gpt-4o",)))
    assert ids(decided(request(reasoning_effort="none"), view)) == ["cloud/gpt-4o"]


def test_a_kind_that_cannot_do_what_is_asked() -> None:
    view = view_of(provider("a", "llamacpp", ("m",)), provider("b", "vllm", ("m",)))
    decision = decided(request(tools=TOOLS), view)
    assert ids(decision) == ["b/m"]
    assert reasons(decision) == {"a/m": "providers of the kind 'llamacpp' lack: tools"}


def test_of_a_model_whose_abilities_nobody_knows_the_kind_decides() -> None:
    view = view_of(provider("a", "vllm", ("house-made",)))
    assert ids(decided(request(messages=PICTURE, tools=TOOLS), view)) == ["a/house-made"]


def test_a_window_that_is_too_small() -> None:
    view = view_of(
        provider("a", models=("small", "large")),
        settings={"a/small": settings(context_window=1000), "a/large": settings(context_window=2000)},
    )
    assert len(decided(request(tokens=900), view).targets) == 2
    assert len(decided(request(tokens=900, max_tokens=100), view).targets) == 2
    for limited in (request(tokens=900, max_tokens=101), request(tokens=900, max_completion_tokens=101)):
        decision = decided(limited, view)
        assert ids(decision) == ["a/large"]
        assert "1000 tokens is too small for 900 and 101" in reasons(decision)["a/small"]


def test_of_a_named_model_the_provider_judges_abilities_and_size() -> None:
    view = view_of(provider("cloud", "openai", ("gpt-4",)), settings={"cloud/gpt-4": settings(context_window=10)})
    wanted = request("gpt-4", tokens=1000, response_format={"type": "json_object"})
    assert ids(decided(wanted, view)) == ["cloud/gpt-4"]


def test_more_than_30000_tokens_prefer_a_large_window() -> None:
    view = view_of(
        provider("a", models=("best", "large", "unknown")),
        settings={
            "a/best": settings(context_window=64_000, quality=0.9),
            "a/large": settings(context_window=128_000, quality=0.5),
            "a/unknown": settings(quality=0.9),
        },
    )
    assert ids(decided(request(complexity="simple", tokens=30_000), view))[0] == "a/best"
    decision = decided(request(complexity="simple", tokens=30_001), view)
    assert ids(decision) == ["a/large", "a/best", "a/unknown"]
    assert any("128000" in told for each in decision.candidates[1:] for told in each.put_back)


def test_a_large_window_is_preferred_among_the_permitted_alone() -> None:
    view = view_of(provider("cloud", "openai", ("gpt-4.1",)), provider("here", models=("m",)))
    strict = request(tokens=40_000, wishes=Wishes(privacy_mode="strict"))
    assert ids(decided(strict, view)) == ["here/m"]


def test_the_policys_least_quality_is_hard() -> None:
    policy = policy_with(min_quality={"expert": 0.8})
    view = view_of(
        provider("a", models=("good", "bad")),
        settings={"a/good": settings(quality=0.8), "a/bad": settings(quality=0.79)},
    )
    decision = decided(request(complexity="expert"), view, policy=policy)
    assert ids(decision) == ["a/good"]
    assert "quality 0.79 is under the policy's 0.80 for expert" in reasons(decision)["a/bad"]
    assert len(decided(request(complexity="complex"), view, policy=policy).targets) == 2


def test_without_a_policys_word_weak_models_are_the_last_fallbacks() -> None:
    view = view_of(
        provider("a", models=("good", "bad")),
        provider("cloud", "openai", ("gpt-5",)),
        settings={
            "a/good": settings(quality=0.71),
            "a/bad": settings(quality=0.69),
            "cloud/gpt-5": settings(quality=0.95),
        },
    )
    decision = decided(request(complexity="expert"), view)
    assert set(ids(decision)[:2]) == {"a/good", "cloud/gpt-5"}
    assert ids(decision)[2] == "a/bad"
    assert any("0.70" in note for note in decision.notes)
    assert ids(decided(request(complexity="simple"), view))[0].startswith("a/")


def test_a_floor_that_nobody_reaches_gives_way_to_the_next() -> None:
    view = view_of(
        provider("a", models=("better", "bad")),
        settings={"a/better": settings(quality=0.62), "a/bad": settings(quality=0.3)},
    )
    decision = decided(request(complexity="expert"), view)
    assert ids(decision) == ["a/better", "a/bad"]
    assert any("0.60 has to do" in note for note in decision.notes)


def test_a_cap_on_what_a_request_may_cost() -> None:
    view = view_of(
        provider("cloud", "openai", ("gpt-4o", "gpt-4o-mini")),
        settings={"cloud/gpt-4o": settings(into=1, out=1000), "cloud/gpt-4o-mini": settings(into=1, out=1)},
    )
    policy = policy_with(max_cost_usd=0.01)
    decision = decided(request(tokens=1000, max_tokens=100), view, policy=policy)
    assert ids(decision) == ["cloud/gpt-4o-mini"]
    assert reasons(decision) == {"cloud/gpt-4o": "about $0.101 is more than the policy's $0.01 for a request"}
    assert len(decided(request(tokens=1000, max_tokens=5), view, policy=policy).targets) == 2


def test_under_a_cap_nobody_without_a_price() -> None:
    view = view_of(provider("cloud", "openai", ("gpt-4o", "brand-new")), provider("here", models=("brand-new",)))
    decision = decided(request(), view, policy=policy_with(max_cost_usd=1.0))
    assert set(ids(decision)) == {"cloud/gpt-4o", "here/brand-new"}
    assert "its price is unknown" in reasons(decision)["cloud/brand-new"]
    assert len(decided(request(), view).targets) == 3


def test_a_key_with_a_budget_may_not_use_what_has_no_price() -> None:
    view = view_of(provider("cloud", "openai", ("gpt-4o", "brand-new")))
    limited = caller_of(budgeted=True)
    assert ids(decided(request(caller=limited), view)) == ["cloud/gpt-4o"]
    error = refusal(request("brand-new", caller=limited), view)
    # A 503 would be asked again, for nothing.
    assert (error.status, error.code, error.param) == (403, "permission_denied", "model")
    assert error.message == (
        "'brand-new' has no known price, and a budget holds for this request: an admin can set its price under "
        "Routing > Models."
    )


def test_a_key_with_a_budget_where_nothing_has_a_price() -> None:
    view = view_of(provider("cloud", "openai", ("brand-new", "newer")))
    error = refusal(request(caller=caller_of(budgeted=True)), view)
    assert (error.status, error.code) == (403, "permission_denied")
    assert "No model that could answer 'auto' has a known price (cloud/brand-new, cloud/newer)" in error.message
    # Without a budget, it is the policy that is in the way.
    capped = refusal(request(), view, policy=policy_with(max_cost_usd=1.0))
    assert (capped.status, capped.code) == (503, "no_available_model")


def test_what_may_pass_outweighs_a_price_that_is_not_known() -> None:
    view = view_of(provider("cloud", "openai", ("brand-new",)), provider("a", models=("m",)))
    error = refusal(request(caller=caller_of(budgeted=True)), view, opened(view, "a/m", denied=True))
    assert (error.status, error.code) == (503, "no_available_model")


def test_a_policy_chooses_among_its_models() -> None:
    view = view_of(provider("a", models=("m", "n")), provider("b", models=("m", "n")))
    decision = decided(request(), view, policy=policy_with(models=frozenset({"a/m", "n", "gone"})))
    assert set(ids(decision)) == {"a/m", "a/n", "b/n"}
    assert reasons(decision)["b/m"] == "it is not among the models that the policy 'ours' lists"
    assert decision.notes == ["The model 'gone' of the policy 'ours' is skipped: nobody serves it here."]


def test_an_open_breaker_excludes_and_is_still_the_last_resort() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    decision = decided(request(), view, opened(view, "a/m"))
    assert ids(decision) == ["b/n", "a/m"]
    assert reasons(decision)["a/m"].startswith("its circuit breaker is open: ")


def test_a_target_that_answers_again_has_its_place_again() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    health = opened(view, "a/m")
    flight = health.begin(view.targets["a"][0], stream=False, last_resort=True)
    assert flight is not None
    flight.first_byte()
    flight.completed(1)
    assert ids(decided(request(), view, health)) == ids(decided(request(), view)) == ["a/m", "b/n"]


def test_when_every_breaker_is_open_they_are_asked_all_the_same() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    decision = decided(request(), view, opened(view, "a/m", "b/n"))
    assert set(ids(decision)) == {"a/m", "b/n"}
    assert reasons(decision) == {}
    assert "every candidate is open" in decision.notes[0]


def test_a_refused_secret_is_not_tried_again() -> None:
    view = view_of(provider("a", models=("m",)))
    error = refusal(request("a/m"), view, opened(view, "a/m", denied=True))
    assert (error.status, error.code) == (503, "no_available_model")
    assert "it refuses our key" in error.message


def test_a_target_that_fails_often_is_behind_one_that_does_not() -> None:
    view = view_of(
        provider("a", models=("good", "bad")),
        settings={"a/good": settings(quality=0.9), "a/bad": settings(quality=0.5)},
    )
    health = Health()
    for failed in (True, True, False, False, False, False, False):
        flight = health.begin(view.targets["a"][0], stream=False)
        assert flight is not None
        if failed:
            flight.failed("HTTP 500")
        else:
            flight.first_byte()
            flight.completed(10)
    assert ids(decided(request(), view)) == ["a/good", "a/bad"]
    decision = decided(request(), view, health)
    assert ids(decision) == ["a/bad", "a/good"]
    assert decision.candidates[1].put_back == ["it fails often, and others do not"]
    assert decision.candidates[1].reliability < 0.8
