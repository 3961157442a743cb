"""What callers say of answers moves `auto`, where a policy says so, and nowhere else."""

import time
from typing import Any

import pytest

from gateway_project.lib.ids import uuid7_text
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene
from tests.gateway.test_feedback import give

BAD_ANSWERS = 6


class Stage:
    """Two models that nothing is known of, and a policy that asks for quality alone."""

    def __init__(self, one: Scene, other: Scene, calibrate: bool) -> None:
        self.scene = one
        self.models = {one.model, other.model}
        self.name = f"by-quality-{one.name}"
        self.policy = one.account.call(
            "POST",
            "/api/routing/policies",
            201,
            name=self.name,
            weights={"cost": 0, "quality": 1, "speed": 0},
            models=sorted(self.models),
            calibrate=calibrate,
        )

    def change(self, **fields: Any) -> None:
        self.scene.account.call("PATCH", f"/api/routing/policies/{self.policy['id']}", 200, **fields)

    def ask(self) -> Any:
        """An answer to a question that nobody asked before."""
        messages = [{"role": "user", "content": f"What is {uuid7_text()}?"}]
        answer = self.scene.post(model=f"policy/{self.name}", messages=messages, complexity="simple")
        assert answer.status_code == 200, answer.text
        return answer

    def chosen(self) -> str:
        model: str = self.ask().headers["x-gateway-model"]
        return model

    def explained(self) -> dict[str, dict[str, Any]]:
        """What explain says of each model."""
        body = {"model": f"policy/{self.name}", "messages": [{"role": "user", "content": "Hi"}], "complexity": "simple"}
        told = self.scene.account.call("POST", "/api/routing/explain", 200, **body)
        return {candidate["model"]: candidate for candidate in told["candidates"]}

    def judge(self, label: str) -> str:
        """Several answers of the model that is chosen; returns once the gateway knows, with the model's name."""
        model = self.chosen()
        answers = [self.ask() for _ in range(BAD_ANSWERS)]
        assert {answer.headers["x-gateway-model"] for answer in answers} == {model}
        for answer in answers:
            assert give(self.scene, answer, label=label).status_code == 200
        end = time.monotonic() + 5
        while self.explained()[model]["evidence"][label] < BAD_ANSWERS:
            assert time.monotonic() < end, self.explained()[model]
            time.sleep(0.05)
        return model


def test_with_the_switch_bad_feedback_moves_the_choice(make_scene: MakeScene) -> None:
    stage = Stage(make_scene(), make_scene(), calibrate=True)
    worse = stage.judge("bad")
    better = (stage.models - {worse}).pop()
    assert stage.chosen() == better

    told = stage.explained()
    assert told[worse]["quality_prior"] == told[better]["quality_prior"] == told[better]["quality"]
    prior, evidence = told[worse]["quality_prior"], told[worse]["evidence"]
    assert told[worse]["quality"] == pytest.approx(
        (prior * 20 + evidence["good"]) / (20 + evidence["good"] + evidence["bad"]), abs=1e-3
    )

    stage.change(calibrate=False)
    assert stage.chosen() == worse


def test_without_the_switch_nothing_moves(make_scene: MakeScene) -> None:
    stage = Stage(make_scene(), make_scene(), calibrate=False)
    judged = stage.judge("bad")
    assert stage.chosen() == judged
    told = stage.explained()[judged]
    assert told["quality"] == told["quality_prior"]
    assert told["evidence"]["bad"] >= BAD_ANSWERS
