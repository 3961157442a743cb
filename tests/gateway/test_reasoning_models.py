"""OpenAI's reasoning models refuse some parameters; who lets the gateway choose need not know that."""

from typing import Any

import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import CHAT

WISHES: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 50, "seed": 7}


@pytest.mark.parametrize(
    ("kind", "model", "sent"),
    [
        ("openai", "gpt-5-mini", {"max_completion_tokens": 50, "seed": 7}),
        ("openai", "gpt-4o-mini", WISHES),
        # Only OpenAI's own; what a server of one's own does with them is its affair.
        ("vllm", "gpt-oss-20b", WISHES),
    ],
)
def test_auto_sends_what_the_chosen_model_takes(
    make_scene: MakeScene, kind: str, model: str, sent: dict[str, object]
) -> None:
    scene = make_scene(kind=kind, models=[model])

    response = scene.post(CHAT, model="auto", **WISHES)

    assert response.status_code == 200, response.text
    asked = scene.upstream.requests(scene=scene.name, model=model)[-1]["body"]
    assert {name: value for name, value in asked.items() if name not in ("model", "messages")} == sent


def test_a_named_model_gets_the_body_as_it_is(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai", models=["gpt-5-mini"])

    scene.post(CHAT, model=f"{scene.name}/gpt-5-mini", **WISHES)

    asked = scene.upstream.requests(scene=scene.name, model="gpt-5-mini")[-1]["body"]
    assert {name: value for name, value in asked.items() if name not in ("model", "messages")} == WISHES
