"""How cost, quality and speed become scores, and what failures take away."""

import itertools
import math
import time

import pytest

from routing.decision import Candidate, Decision
from routing.health import Health
from routing.policies import Weights
from routing.scores import rounded
from routing.targets import WorkspaceTargets
from tests.routing.stage import decided, ids, policy_with, provider, request, settings, view_of

COST, QUALITY, SPEED = (Weights(1, 0, 0), Weights(0, 1, 0), Weights(0, 0, 1))


def by_id(decision: Decision) -> dict[str, Candidate]:
    return {each.target.id: each for each in decision.candidates}


def priced(**per_mtok: float | None) -> WorkspaceTargets:
    """Cloud models that nobody knows, at these prices for a million tokens in and out; None: unknown."""
    return view_of(
        provider("c", "openai_compatible", tuple(per_mtok), local=False),
        settings={f"c/{name}": settings(into=usd, out=usd) for name, usd in per_mtok.items() if usd is not None},
    )


def asked(health: Health, view: WorkspaceTargets, name: str, *, ttft: float, speed: float) -> None:
    """The target was found to be as fast as that."""
    target = next(target for target in view.all if target.id == name)
    health.made(target.key, target.kind.id).measured(time.monotonic(), ttft_s=ttft, tokens_per_s=speed)


def test_a_score_is_the_weighted_sum() -> None:
    view = view_of(provider("cloud", "openai", ("gpt-4o", "gpt-4o-mini", "gpt-5")), provider("here", models=("m",)))
    for weights in (Weights(), Weights(0.1, 0.2, 0.7)):
        for each in decided(request(), view, policy=policy_with(weights=weights)).candidates:
            expected = (
                weights.cost * each.cost_score + weights.quality * each.quality_score + weights.speed * each.speed_score
            )
            assert each.score == pytest.approx(expected)
            assert all(0 <= part <= 1 for part in (each.cost_score, each.quality_score, each.speed_score))


@pytest.mark.parametrize(
    ("weights", "first"),
    [(COST, "c/cheap"), (QUALITY, "c/good"), (SPEED, "here/fast")],
    ids=["cost", "quality", "speed"],
)
def test_each_weight_alone_decides(weights: Weights, first: str) -> None:
    view = view_of(
        provider("c", "openai_compatible", ("cheap", "good"), local=False),
        provider("here", "openai_compatible", ("fast",), local=False),
        settings={
            "c/cheap": settings(into=1, out=1, quality=0.5),
            "c/good": settings(into=10, out=10, quality=0.9),
            "here/fast": settings(into=10, out=10, quality=0.5),
        },
    )
    health = Health()
    asked(health, view, "here/fast", ttft=0.1, speed=500)
    assert ids(decided(request(complexity="simple"), view, health, policy=policy_with(weights=weights)))[0] == first


def test_one_dear_model_does_not_make_the_others_look_alike() -> None:
    size = {"tokens": 100_000, "max_tokens": 100_000}
    scores = by_id(decided(request(**size), priced(a=1, b=10, outlier=1000)))  # type: ignore[arg-type]
    assert scores["c/a"].cost_score == 1
    assert scores["c/outlier"].cost_score == 0
    assert 0.6 < scores["c/b"].cost_score < 0.7


def test_what_is_free_has_the_full_score_for_cost() -> None:
    view = view_of(provider("c", "openai", ("gpt-4o-mini",)), provider("here", models=("m", "n")))
    scores = by_id(decided(request(), view))
    assert scores["here/m"].cost_score == scores["here/n"].cost_score == 1
    assert scores["c/gpt-4o-mini"].cost_score < 1


def test_close_prices_have_close_scores() -> None:
    scores = by_id(decided(request(tokens=100_000), priced(a=1.0, b=1.1)))
    assert scores["c/b"].cost_score == pytest.approx(1 - math.log(1.1) / math.log(10), abs=0.01)


def test_the_estimate_is_of_this_requests_tokens() -> None:
    view = view_of(provider("c", "openai_compatible", ("m",), local=False), settings={"c/m": settings(into=2, out=10)})

    def usd(**given: int) -> float | None:
        return decided(request(complexity="moderate", **given), view).candidates[0].cost_usd  # type: ignore[arg-type]

    assert usd(tokens=1000, max_tokens=100) == pytest.approx(0.002 + 0.001)
    assert usd(tokens=1000, max_tokens=9999) == pytest.approx(0.002 + 0.004), "400 are expected of a moderate request"


def test_a_long_prompt_has_the_price_of_long_prompts() -> None:
    view = view_of(provider("g", "gemini", ("gemini-2.5-pro",)))
    short, long = (
        decided(request(tokens=tokens, max_tokens=1), view).candidates[0].cost_usd or 0 for tokens in (199_000, 201_000)
    )
    assert long > 1.9 * short


def test_a_model_without_a_price_counts_as_the_dearest() -> None:
    decision = decided(request(), priced(a=1, unknown=None), policy=policy_with(weights=COST))
    assert ids(decision) == ["c/a", "c/unknown"]
    unknown = by_id(decision)["c/unknown"]
    assert (unknown.cost_usd, unknown.cost_score) == (None, 0)
    dearer = by_id(decided(request(), priced(a=99_999, unknown=None)))
    assert dearer["c/unknown"].cost_score == dearer["c/a"].cost_score


def test_speed_is_a_guess_until_it_is_measured() -> None:
    view = view_of(provider("c", "openai", ("gpt-4o",)), provider("here", models=("m",)))
    policy, health = policy_with(weights=SPEED), Health()
    assert ids(decided(request(complexity="expert"), view, policy=policy))[0] == "c/gpt-4o"
    asked(health, view, "here/m", ttft=0.1, speed=300)
    asked(health, view, "c/gpt-4o", ttft=0.5, speed=50)
    decision = decided(request(complexity="simple"), view, health, policy=policy)
    assert ids(decision)[0] == "here/m"
    assert by_id(decision)["here/m"].seconds == pytest.approx(0.1 + 150 / 300)
    assert by_id(decision)["c/gpt-4o"].seconds == pytest.approx(0.5 + 150 / 50)


def test_a_short_answer_prefers_who_begins_sooner_a_long_one_who_writes_faster() -> None:
    view = view_of(provider("a", models=("soon",)), provider("b", models=("fast",)))
    policy, health = policy_with(weights=SPEED), Health()
    asked(health, view, "a/soon", ttft=0.1, speed=20)
    asked(health, view, "b/fast", ttft=2.0, speed=200)
    assert ids(decided(request(max_tokens=5), view, health, policy=policy))[0] == "a/soon"
    assert ids(decided(request(complexity="simple", max_tokens=150), view, health, policy=policy))[0] == "b/fast"


def test_failures_take_their_square_from_the_score() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    health = Health()
    flight = health.begin(view.all[0], stream=False)
    assert flight is not None
    flight.failed("HTTP 500")
    rate = flight.state.error_rate
    candidate = by_id(decided(request(), view, health))["a/m"]
    assert candidate.reliability == pytest.approx((1 - rate) ** 2, rel=0.01)
    assert candidate.score == pytest.approx(by_id(decided(request(), view))["a/m"].score * candidate.reliability)


def calibrated(on: bool, good: float, bad: float) -> Candidate:
    view = view_of(
        provider("a", models=("m", "n")),
        settings={"a/m": settings(quality=0.6), "a/n": settings(quality=0.6)},
        evidence={("m", "simple"): (good, bad)},
    )
    return by_id(decided(request(complexity="simple"), view, policy=policy_with(calibrate=on)))["a/m"]


def test_evidence_counts_where_the_policy_says_so() -> None:
    praised, blamed, ignored = calibrated(True, 50, 0), calibrated(True, 0, 50), calibrated(False, 0, 50)
    assert praised.quality_score == ignored.quality_score == 1
    assert blamed.quality_score < 0.5


def test_evidence_is_of_one_complexity() -> None:
    view = view_of(
        provider("a", models=("m", "n")),
        settings={"a/m": settings(quality=0.7), "a/n": settings(quality=0.6)},
        evidence={("m", "expert"): (0.0, 100.0)},
    )
    policy = policy_with(calibrate=True, weights=QUALITY)
    assert ids(decided(request(complexity="simple"), view, policy=policy))[0] == "a/m"
    assert ids(decided(request(complexity="expert"), view, policy=policy))[0] == "a/n"


def test_sizes_are_rounded_to_a_sixteenth() -> None:
    for tokens in itertools.chain(range(2000), (123_456, 10**9)):
        assert abs(rounded(tokens) - tokens) <= tokens / 32
    assert all(rounded(a) <= rounded(a + 1) for a in range(5000))
    assert len({rounded(tokens) for tokens in range(1024, 2048)}) <= 17
