"""What a caller is told when nobody may answer, and whose doing that is."""

from typing import Any

import pytest

from routing.exchange import Wishes
from tests.routing.stage import (
    caller_of,
    policy_with,
    provider,
    refusal,
    request,
    settings,
    view_of,
)

TOOLS = [{"type": "function", "function": {"name": "f"}}]


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
