"""Usage is asked for upstream even when the client did not, metered, and shown only to who asked."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import CHAT, Scene, payloads_of


def streamed(scene: Scene, **fields: Any) -> tuple[httpx.Response, list[Any]]:
    with scene.stream(**fields) as response:
        return response, payloads_of(response.read())


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}, {"stream_options": None}])
def test_a_client_that_did_not_ask_sees_what_it_would_see_without_a_gateway(
    scene: Scene, options: dict[str, Any]
) -> None:
    response, payloads = streamed(scene, **options)
    direct = scene.upstream.http.post(CHAT, json=scene.body(stream=True))
    assert payloads == payloads_of(direct.content)
    assert scene.received()[0]["body"]["stream_options"]["include_usage"] is True
    record = scene.record(response)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 3)
    assert record["usage_estimated"] is False


def test_other_stream_options_stay(scene: Scene) -> None:
    streamed(scene, stream_options={"include_obfuscation": False})
    assert scene.received()[0]["body"]["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_usage_in_each_chunk_is_counted_once(scene: Scene) -> None:
    scene.behave({"usage": "every", "chunks": 5})
    response, _ = streamed(scene, stream_options={"include_usage": True, "continuous_usage_stats": True})
    record = scene.record(response)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 5)


@pytest.mark.parametrize("stream", [False, True])
def test_cached_and_reasoning_tokens_are_kept(make_scene: MakeScene, stream: bool) -> None:
    scene = make_scene()
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 768},
        "completion_tokens_details": {"reasoning_tokens": 128},
    }
    scene.behave({"usage_object": usage})
    response = streamed(scene)[0] if stream else scene.post()
    record = scene.record(response)
    assert [record[f"{kind}_tokens"] for kind in ("prompt", "cached", "completion", "reasoning")] == [
        1000,
        768,
        200,
        128,
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_no_upstream_sent_is_estimated_and_flagged(scene: Scene, stream: bool) -> None:
    scene.behave({"usage": "never", "text": "The quick brown fox jumps over the lazy dog. " * 10, "chunks": 10})
    response = streamed(scene)[0] if stream else scene.post()
    record = scene.record(response)
    assert record["usage_estimated"] is True
    assert 80 <= record["completion_tokens"] <= 130
    assert 3 <= record["prompt_tokens"] <= 20


def test_what_is_estimated_is_the_prompt_whatever_else_the_request_has(scene: Scene) -> None:
    """An unknown field named `messages` makes no long prompt short."""
    scene.behave({"usage": "never"})
    body = {"model": scene.model, "prompt": "The quick brown fox. " * 100, "messages": [{"role": "user"}]}
    record = scene.record(scene.http.post("/v1/completions", json=body))
    assert record["usage_estimated"] is True
    assert 400 <= record["prompt_tokens"] <= 700


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "7", "completion_tokens": None},
        {"prompt_tokens": -5, "completion_tokens": 10**18},
        {"prompt_tokens": 1.5, "completion_tokens": [1]},
        {},
        {"prompt_tokens_details": "none", "completion_tokens_details": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_nonsense_for_usage_breaks_nothing(scene: Scene, usage: dict[str, Any], stream: bool) -> None:
    scene.behave({"usage_object": usage})
    response = streamed(scene)[0] if stream else scene.post()
    assert response.status_code == 200
    record = scene.record(response)
    assert 0 <= record["completion_tokens"] < 2**31
    assert record["status"] == 200


@pytest.mark.parametrize(("prompt", "completion"), [(2 * 10**9, 3), (7, 2 * 10**9), (9_000_000, 3), (10**15, 3)])
@pytest.mark.parametrize("stream", [False, True])
def test_what_no_model_can_use_is_set_aside_counted_here_and_flagged(
    make_scene: MakeScene, prompt: int, completion: int, stream: bool
) -> None:
    """Else one defect of an upstream spends a budget that nobody spent."""
    scene = make_scene(kind="openai", models=["gpt-4o-mini"])
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    scene.upstream.behave("gpt-4o-mini", {"usage_object": usage}, scene=scene.name)
    fields: dict[str, Any] = {"model": f"{scene.name}/gpt-4o-mini"}
    record = scene.record(streamed(scene, **fields)[0] if stream else scene.post(**fields))
    assert record["usage_estimated"] is True
    assert 1 <= record["prompt_tokens"] <= 20
    assert 1 <= record["completion_tokens"] <= 20
    assert Decimal(record["cost_usd"]) < Decimal("0.0001")


def test_what_many_answers_or_a_whole_window_come_to_is_believed(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai", models=["gpt-4o-mini"])
    usage = {"prompt_tokens": 128_000, "completion_tokens": 2_000_000, "total_tokens": 2_128_000}
    scene.upstream.behave("gpt-4o-mini", {"usage_object": usage}, scene=scene.name)
    record = scene.record(scene.post(model=f"{scene.name}/gpt-4o-mini", n=128))
    assert (record["usage_estimated"], record["prompt_tokens"]) == (False, 128_000)
    assert record["completion_tokens"] == 2_000_000


def test_a_cloud_models_cost_is_exact(make_scene: MakeScene) -> None:
    """gpt-4o-mini costs 0.15 and 0.60 dollars per million tokens, cached input half."""
    scene = make_scene(kind="openai", models=["gpt-4o-mini"])
    usage = {
        "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 60},
    }  # fmt: skip
    scene.upstream.behave("gpt-4o-mini", {"usage_object": usage}, scene=scene.name)
    response = scene.post(model=f"{scene.name}/gpt-4o-mini")
    expected = (600 * Decimal("0.15") + 400 * Decimal("0.075") + 100 * Decimal("0.60")) / 1_000_000
    assert response.headers["x-gateway-privacy"] == "cloud"
    assert Decimal(response.headers["x-gateway-cost-usd"]) == expected
    assert Decimal(scene.record(response)["cost_usd"]) == expected
