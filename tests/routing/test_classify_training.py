"""What trains and judges the classifier: splits that are apart, measures that are right, the same model each time."""

import json

import numpy as np
import pytest

from routing import learned, rules
from routing.endpoints import CHAT
from routing.features import measure
from routing.training import evaluate, fit, measures, sets


def test_the_halves_of_the_prompts_are_apart_and_alike() -> None:
    design, kept = sets.prompts(kept=False), sets.prompts(kept=True)

    assert {prompt.id for prompt in design}.isdisjoint(prompt.id for prompt in kept)
    assert len(design) == len(kept) == 200
    for half in (design, kept):
        assert {tier: sum(prompt.tier == tier for prompt in half) for tier in rules.TIERS} == dict.fromkeys(
            rules.TIERS, 50
        )
    assert {prompt.text for prompt in sets.own_prompts()}.isdisjoint(prompt.text for prompt in kept)


def test_ranking_measures() -> None:
    gains = np.array([1.0] * 10 + [0.0] * 90)
    perfect, worst = measures.ranking(gains, gains), measures.ranking(-gains, gains)

    assert perfect.apgr == pytest.approx(0.95, abs=0.005)
    assert (perfect.cpt50, perfect.cpt80) == (0.05, 0.08)
    assert worst.apgr == pytest.approx(0.05, abs=0.005)
    low, high = measures.intervals(gains, gains, rounds=20)
    assert low.apgr <= perfect.apgr <= high.apgr


def test_tier_measures() -> None:
    found = measures.tiers(np.array([0.1, 0.9, 0.6, 0.6]), np.array([0, 3, 2, 2]), np.array([0, 3, 2, 0]))

    assert (found.exact, found.far_off) == (0.75, 0.25)
    assert found.area == pytest.approx(0.875)
    assert found.table[0].tolist() == [1, 0, 1, 0]


def test_training_gives_the_same_model_each_time() -> None:
    prompts = sets.own_prompts()
    questions = [
        sets.Question("any", f"If a train leaves at {hour}, when does it arrive?", hour % 2, 1) for hour in range(40)
    ] + [sets.Question("other", "What is the definition of photosynthesis?", 1, 1)] * 5
    first, second = fit.model(questions, prompts), fit.model(questions, prompts)

    assert first == second
    hard = [prompt for prompt in prompts if prompt.tier == "expert"]
    easy = [prompt for prompt in prompts if prompt.tier == "simple"]
    mean = [np.mean([learned.score(measure(CHAT, prompt.body), first) for prompt in some]) for some in (easy, hard)]
    assert mean[0] < 0.3 < 0.7 < mean[1]


def test_the_shipped_model_says_what_it_was_taught_by() -> None:
    stored = json.loads(learned.FILE.read_text(encoding="utf-8"))

    assert all(source["name"] and source["licence"] for source in stored["data"])
    assert stored["quality"]["leave_subject_out"]["apgr"] >= 0.56
    assert learned.shipped() == learned.shipped()


@pytest.mark.parametrize("score", [rules.score, learned.score])
def test_tiers_of_the_kept_half(score: evaluate.Score) -> None:
    found = evaluate.tiers_of(sets.prompts(kept=True), score)

    assert found.exact >= 0.75
    assert found.far_off <= 0.03
    assert found.area >= 0.96


@pytest.mark.parametrize("score", [rules.score, learned.score])
def test_tiers_of_prompts_written_afterwards(score: evaluate.Score) -> None:
    found = evaluate.tiers_of(sets.fresh_prompts(), score)

    assert found.exact >= 0.75
    assert found.far_off <= 0.02
    assert found.area >= 0.96


@pytest.mark.skipif(not sets.EXAM.exists(), reason="the exam questions are not lent here")
def test_the_exam_is_ranked_no_worse_than_by_length() -> None:
    questions = sets.questions()
    design = sets.design_subjects(questions)
    judged = [question for question in questions if question.subject not in design]
    gains = evaluate.gains(judged)
    by_rules = evaluate.scored([measure(CHAT, question.body) for question in judged], rules.score)
    longest = np.array([float(len(question.prompt)) for question in judged])

    assert measures.ranking(by_rules, gains).apgr > measures.ranking(longest, gains).apgr
    assert measures.ranking(by_rules, gains).cpt80 < measures.ranking(longest, gains).cpt80
