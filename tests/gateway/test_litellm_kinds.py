"""Kinds that litellm translates: the client speaks OpenAI's wire, the provider its own."""

import json
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import MESSAGES, Scene, payloads_of
from tests.gateway.test_sdk import WEATHER

# Models that litellm's price map knows, so that a cost can be checked; and how each provider takes its secret.
KINDS = {
    "anthropic": ("claude-haiku-4-5", "x-api-key"),
    "gemini": ("gemini-2.5-flash", "x-goog-api-key"),
    "azure": ("gpt-4o-mini", "api-key"),
}
# The first answer waits for litellm's import.
pytestmark = pytest.mark.slow


@pytest.fixture(params=KINDS)
def translated(make_scene: MakeScene, request: pytest.FixtureRequest) -> Scene:
    model, _ = KINDS[request.param]
    scene = make_scene(kind=request.param, models=[model])
    scene.model = model
    scene.http.timeout = 60
    return scene


def test_a_chat(translated: Scene) -> None:
    response = translated.post(model=f"{translated.name}/{translated.model}")
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == "word 0 word 1 word 2 "
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (7, 3)
    [received] = translated.received()
    _, header = KINDS[translated.provider["kind"]]
    secret = f"sk-upstream-{translated.name}-secret"
    assert secret in (received["headers"].get(header, ""), received["query"].get("key", ""))
    record = translated.record(response)
    assert (record["prompt_tokens"], record["completion_tokens"], record["privacy"]) == (7, 3, "cloud")
    assert Decimal(record["cost_usd"]) > 0


def test_a_stream(translated: Scene) -> None:
    with translated.stream(model=f"{translated.name}/{translated.model}") as response:
        payloads = payloads_of(response.read())
    assert payloads.pop() == "[DONE]"
    text = "".join(choice["delta"].get("content") or "" for row in payloads for choice in row["choices"])
    assert text == "word 0 word 1 word 2 "
    assert all(row["object"] == "chat.completion.chunk" for row in payloads)
    assert not any(row.get("usage") for row in payloads)
    record = translated.record(response)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 3)
    assert record["usage_estimated"] is False


def test_a_stream_with_usage(translated: Scene) -> None:
    with translated.stream(
        model=f"{translated.name}/{translated.model}", stream_options={"include_usage": True}
    ) as response:
        payloads = payloads_of(response.read())
    assert payloads[-2]["choices"] == []
    assert payloads[-2]["usage"]["completion_tokens"] == 3


def test_chunks_come_as_they_are_made(translated: Scene) -> None:
    translated.behave({"chunks": 4, "interval": 0.4})
    with translated.stream(model=f"{translated.name}/{translated.model}") as response:
        next(response.iter_bytes())
        assert translated.received()[-1]["finished_at"] is None
        response.close()
    translated.upstream.wait_until_left(within=1.5, scene=translated.name, model=translated.model)


def test_a_tool_call(translated: Scene) -> None:
    client: openai.OpenAI = translated.sdk.with_options(timeout=60)
    model = f"{translated.name}/{translated.model}"
    answer = client.chat.completions.create(model=model, messages=MESSAGES, tools=[WEATHER])
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Zürich"}
    assert answer.choices[0].finish_reason == "tool_calls"
    stream = client.chat.completions.create(model=model, messages=MESSAGES, tools=[WEATHER], stream=True)
    calls = [call for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert calls[0].function is not None
    assert calls[0].function.name == "get_weather"
    arguments = "".join(call.function.arguments or "" for call in calls if call.function)
    assert json.loads(arguments) == {"city": "Zürich"}


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "tries"),
    [
        ({"status": 401}, 503, "no_available_model", 1),
        ({"status": 429}, 429, "upstream_rate_limited", 3),
        ({"status": 500}, 503, "no_available_model", 3),
        ({"status": 400}, 400, None, 1),
        ({"body": "junk"}, 503, "no_available_model", 1),
        ({"drop": "before_headers"}, 503, "no_available_model", 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error(
    translated: Scene, behaviour: dict[str, Any], status: int, code: str | None, tries: int, stream: bool
) -> None:
    translated.behave(behaviour)
    response = translated.post(model=f"{translated.name}/{translated.model}", stream=stream)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    assert code is None or error["code"] == code
    assert f"sk-upstream-{translated.name}-secret" not in response.text
    assert "litellm" not in response.text.lower()
    assert "127.0.0.1" not in response.text
    assert len(translated.received()) == tries


def test_a_client_that_leaves_stops_the_upstream(translated: Scene) -> None:
    translated.behave({"chunks": 500, "interval": 0.05})
    with translated.stream(model=f"{translated.name}/{translated.model}") as response:
        next(response.iter_bytes())
    translated.upstream.wait_until_left(within=1.5, scene=translated.name, model=translated.model)
    assert translated.record(response)["status"] == 499
