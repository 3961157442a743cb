"""Who may answer at all, whose doing it is when nobody may, and what each is told."""

import time
from typing import Any

import pytest

from gateway_project.lib.errors import ApiError
from routing.decision import Decision
from routing.exchange import Exchange, Wishes
from routing.health import Health
from routing.targets import MAX_TARGETS, WorkspaceTargets
from tests.routing.stage import (
    caller_of,
    decided,
    ids,
    policy_with,
    provider,
    reasons,
    request,
    settings,
    view_of,
)

PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
SOUND = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def refusal(exchange: Exchange, view: WorkspaceTargets, health: Health | None = None, **given: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        decided(exchange, view, health, **given)
    return refused.value


def opened(view: WorkspaceTargets, *names: str, denied: bool = False) -> Health:
    """A health in which these targets' breakers are open."""
    health = Health()
    for target in view.all:
        if target.id in names:
            flight = health.begin(target, stream=False)
            assert flight is not None
            if denied:
                health.credential_of = lambda _: "the same"
                flight.state.switch.deny(time.monotonic(), "the same", "it refuses our key")
            else:
                for _ in range(3):
                    again = health.begin(target, stream=False)
                    assert again is not None
                    again.failed("HTTP 500")
    return health


# --- Each filter -----------------------------------------------------------------------------------


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
    assert (error.status, error.code) == (503, "no_available_model")
    assert "its price is unknown, and a budget holds for this request" in error.message


def test_a_policy_chooses_among_its_models() -> None:
    view = view_of(provider("a", models=("m", "n")), provider("b", models=("m", "n")))
    decision = decided(request(), view, policy=policy_with(models=frozenset({"a/m", "n", "gone"})))
    assert set(ids(decision)) == {"a/m", "a/n", "b/n"}
    assert reasons(decision)["b/m"] == "it is not among the models that the policy 'ours' lists"
    assert decision.notes == ["The model 'gone' of the policy 'ours' is skipped: nobody serves it here."]


# --- Breakers --------------------------------------------------------------------------------------


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


# --- The forms of `model` --------------------------------------------------------------------------


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


# --- Which policy ----------------------------------------------------------------------------------


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


# --- Nobody is left --------------------------------------------------------------------------------


def test_a_policy_that_nobody_can_satisfy_says_why_of_each() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    error = refusal(request(), view, policy=policy_with(min_quality={"simple": 0.99}))
    assert (error.status, error.code) == (503, "no_available_model")
    told = error.body()["error"]["candidates"]
    assert [(each["provider"], each["model"]) for each in told] == [("a", "m"), ("b", "n")]
    assert all("under the policy's 0.99" in each["excluded_because"] for each in told)


def test_who_asks_for_too_much_quality_is_told_what_comes_nearest() -> None:
    view = view_of(
        provider("a", models=("m", "n", "o", "p")),
        settings={f"a/{model}": settings(quality=0.5 + number / 10) for number, model in enumerate("onmp")},
    )
    error = refusal(request(), view, policy=policy_with(min_quality={"simple": 0.99}))
    assert error.message.endswith(
        "The nearest is a/p: its quality 0.80 is under the policy's 0.99 for simple requests."
    )


def test_a_key_whose_models_nobody_serves() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    error = refusal(request(caller=caller_of(allowed_models=frozenset({"gone", "away"}))), view)
    assert (error.status, error.param) == (403, "model")
    assert error.message == "This gateway key may only use 'away', 'gone', and no enabled provider here serves that."
    assert "may use no model" in refusal(request(caller=caller_of(allowed_models=frozenset())), view).message


def test_a_key_whose_models_cannot_do_what_others_could() -> None:
    view = view_of(provider("a", "llamacpp", ("m",)), provider("b", models=("n",)))
    error = refusal(request(caller=caller_of(allowed_models=frozenset({"m"})), tools=TOOLS), view)
    assert error.status == 403
    assert "None of the models that this gateway key may use ('m') can answer" in error.message


def test_a_policy_whose_models_are_all_gone() -> None:
    error = refusal(request(), view_of(provider("a", models=("m",))), policy=policy_with(models=frozenset({"gone"})))
    assert (error.status, error.code) == (503, "no_available_model")


@pytest.mark.parametrize(
    ("facts", "wishes", "param"),
    [
        ({"allowed_models": frozenset({"other"})}, Wishes(), "model"),
        ({}, Wishes(sensitivity="confidential"), "privacy_mode"),
        ({"privacy_mode": "strict"}, Wishes(), "privacy_mode"),
    ],
)
def test_the_keys_models_and_privacy_are_the_callers_to_change(
    facts: dict[str, Any], wishes: Wishes, param: str
) -> None:
    view = view_of(provider("c", "openai", ("gpt-4o",)))
    error = refusal(request(caller=caller_of(**facts), wishes=wishes), view)
    assert (error.status, error.code, error.param) == (403, "permission_denied", param)
    assert error.body()["error"]["candidates"][0]["excluded_because"]


def test_privacy_is_why_when_a_cloud_could_and_no_local_model_can() -> None:
    view = view_of(provider("c", "openai", ("gpt-4o",)), provider("a", "llamacpp", ("m",)))
    strict = Wishes(privacy_mode="strict")
    assert refusal(request(wishes=strict, tools=TOOLS), view).status == 403
    assert refusal(request("m", wishes=strict, tools=TOOLS), view).status == 501


def test_an_ability_that_nobody_has() -> None:
    error = refusal(request(tools=TOOLS), view_of(provider("a", "llamacpp", ("m",))))
    assert (error.status, error.code) == (501, "unsupported_by_backend")
    assert error.message == "'a' is of the kind 'llamacpp', which lacks: tools."


def test_a_workspace_without_a_model() -> None:
    error = refusal(request(), view_of())
    assert (error.status, error.code) == (503, "no_available_model")
    assert "add one in the console" in error.message


# --- Tasks -----------------------------------------------------------------------------------------


def choices(task: str, **given: Any) -> Decision:
    view = view_of(
        provider("ollama", "ollama", ("qwen3-vl:8b", "deepseek-ocr:3b", "dolphin-mistral-nemo", "house-made")),
        provider("google", "gemini", ("gemini-2.5-flash", "gemini-2.5-pro")),
        settings={"ollama/house-made": settings(quality=0.99)},
    )
    wishes = Wishes(task=task, privacy_mode=given.pop("privacy", ""))
    return decided(request(wishes=wishes, complexity="expert"), view, **given)


@pytest.mark.parametrize(("task", "local"), [("vision", "qwen3-vl:8b"), ("ocr", "deepseek-ocr:3b")])
def test_the_table_of_tasks_decides_for_pictures(task: str, local: str) -> None:
    assert set(ids(choices(task))[:2]) == {f"ollama/{local}", "google/gemini-2.5-flash"}
    assert ids(choices(task, privacy="strict"))[0] == f"ollama/{local}"


def test_the_built_in_table_does_not_beat_scores_for_chat() -> None:
    assert ids(choices("chat"))[0] != "ollama/dolphin-mistral-nemo"
    assert ids(choices("chat", privacy="strict"))[0] == "ollama/house-made", "the floor of EXPERT stands above it"


def test_a_policys_own_table_decides_for_chat_too() -> None:
    policy = policy_with(tasks={"chat": ("ollama/dolphin-mistral-nemo", "gemini-2.5-pro")})
    assert set(ids(choices("chat", policy=policy))[:2]) == {"ollama/dolphin-mistral-nemo", "google/gemini-2.5-pro"}
