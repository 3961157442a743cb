"""The table of tasks: which model a picture's or a chat's request goes to."""

from typing import Any

import pytest

from routing.decision import Decision
from routing.exchange import Wishes
from tests.routing.stage import (
    decided,
    ids,
    policy_with,
    provider,
    request,
    settings,
    view_of,
)


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
