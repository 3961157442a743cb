"""The current `openai` SDK, pointed at the gateway, works as it does with OpenAI."""

from typing import Any

import openai
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import MESSAGES, Scene

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAA"
    "DUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_models_are_listed_and_retrieved(scene: Scene) -> None:
    ids = [model.id for model in scene.sdk.models.list()]
    mine = next(id_ for id_ in ids if id_.endswith(scene.model))
    model = scene.sdk.models.retrieve(mine)
    assert (model.id, model.object) == (mine, "model")


def test_a_chat_is_answered(scene: Scene) -> None:
    answer = scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES)
    assert answer.choices[0].message.content == "word 0 word 1 word 2 "
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10


def test_a_provider_and_its_model_can_be_named(scene: Scene) -> None:
    answer = scene.sdk.chat.completions.create(model=f"{scene.name}/{scene.model}", messages=MESSAGES)
    assert answer.choices[0].finish_reason == "stop"
    assert scene.received()[0]["body"]["model"] == scene.model


def test_auto_finds_a_target(scene: Scene) -> None:
    answer = scene.sdk.chat.completions.create(model="auto", messages=MESSAGES)
    assert answer.choices[0].message.content


def test_the_upstream_gets_its_own_secret_and_not_the_gateway_key(scene: Scene) -> None:
    scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES)
    [received] = scene.received()
    assert received["headers"]["authorization"] == f"Bearer sk-upstream-{scene.name}-secret"
    assert scene.key not in str(received)


def test_a_stream_without_usage(scene: Scene) -> None:
    chunks = list(scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "word 0 word 1 word 2 "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_with_usage(scene: Scene) -> None:
    *chunks, last = scene.sdk.chat.completions.create(
        model=scene.model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 3


async def test_the_asynchronous_client(scene: Scene) -> None:
    async with scene.async_sdk as client:
        answer = await client.chat.completions.create(model=scene.model, messages=MESSAGES)
        assert answer.choices[0].message.content == "word 0 word 1 word 2 "
        stream = await client.chat.completions.create(model=scene.model, messages=MESSAGES, stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(texts) == "word 0 word 1 word 2 "
        assert [model.id async for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="no-such-model", messages=MESSAGES)


def test_a_tool_is_called(scene: Scene) -> None:
    answer = scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES, tools=[WEATHER])
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Zürich"}')
    assert scene.received()[0]["body"]["tools"] == [WEATHER]


def test_a_tool_is_called_in_a_stream(scene: Scene) -> None:
    chunks = scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES, tools=[WEATHER], stream=True)
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert "".join(call.function.arguments or "" for call in calls if call.function) == '{"city":"Zürich"}'


def test_a_tools_answer_goes_back(scene: Scene) -> None:
    messages: Any = [
        *MESSAGES,
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ]
    scene.sdk.chat.completions.create(model=scene.model, messages=messages)
    assert scene.received()[0]["body"]["messages"] == messages


def test_several_choices_and_their_logprobs(scene: Scene) -> None:
    answer = scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES, n=3, logprobs=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(choice.logprobs and choice.logprobs.content for choice in answer.choices)
    stream = scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES, n=2, stream=True)
    assert {chunk.choices[0].index for chunk in stream} == {0, 1}


def test_a_response_format(scene: Scene) -> None:
    answer = scene.sdk.chat.completions.create(
        model=scene.model, messages=MESSAGES, response_format={"type": "json_object"}
    )
    assert answer.choices[0].message.content == '{"answer":"Zürich"}'
    assert scene.received()[0]["body"]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("image", ["https://example.com/a.png", PIXEL])
def test_an_image_passes_through(make_scene: MakeScene, image: str) -> None:
    scene = make_scene()
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": image}}]
    scene.sdk.chat.completions.create(model=scene.model, messages=[{"role": "user", "content": content}])
    assert scene.received()[0]["body"]["messages"][0]["content"] == content


def test_the_body_reaches_the_upstream_unchanged_but_for_the_models_name(scene: Scene) -> None:
    fields = {
        "model": f"{scene.name}/{scene.model}",
        "messages": [{"role": "user", "content": 'Ünïcödé 🙂\n\t"', "name": "x"}],
        "temperature": 0.30000000000000004,
        "seed": 2**53 - 1,
        "top_k": 5,
        "guided_json": {"deep": [{"er": None}]},
        "logit_bias": {"50256": -100},
        "user": "someone",
        "stop": ["\n"],
    }
    assert scene.http.post("/v1/chat/completions", json=fields).status_code == 200
    assert scene.received()[0]["body"] == {**fields, "model": scene.model}


def test_gateway_fields_are_never_sent_upstream(scene: Scene) -> None:
    scene.sdk.chat.completions.create(
        model=scene.model,
        messages=MESSAGES,
        extra_body={
            "privacy_mode": "flexible", "sensitivity": "public", "task": "chat", "complexity": "simple",
            "cache": "off", "metadata": {"team": "blue"}, "mirostat": 2,
        },
        extra_headers={"x-gateway-cache": "off", "x-gateway-privacy-mode": "flexible", "x-request-id": "mine"},
    )  # fmt: skip
    [received] = scene.received()
    assert received["body"] == {"model": scene.model, "messages": MESSAGES, "mirostat": 2}
    assert not [name for name in received["headers"] if name.startswith("x-gateway")]


def test_a_client_cannot_choose_the_address_or_the_secret(scene: Scene) -> None:
    injected = {"base_url": "http://127.0.0.1:1/", "api_base": "http://127.0.0.1:1/", "api_key": "sk-injected"}
    response = scene.post(**injected, headers={"x-base-url": "http://127.0.0.1:1", "openai-organization": "org"})
    assert response.status_code in (200, 400)
    for received in scene.received():
        assert received["headers"]["authorization"] == f"Bearer sk-upstream-{scene.name}-secret"
        assert "cookie" not in received["headers"]


def test_legacy_completions(scene: Scene) -> None:
    answer = scene.sdk.completions.create(model=scene.model, prompt="Once")
    assert answer.choices[0].text == "word 0 word 1 word 2 "
    assert scene.received()[0]["path"] == "/v1/completions"
    chunks = list(scene.sdk.completions.create(model=scene.model, prompt="Once", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "word 0 word 1 word 2 "


@pytest.mark.parametrize("with_version", [False, True])
def test_a_base_url_is_taken_with_and_without_v1(make_scene: MakeScene, with_version: bool) -> None:
    scene = make_scene()
    name = f"{scene.name}-b"
    scene.add_provider(name, at=scene.upstream.base_url(name) + ("/v1/" if with_version else "/"))
    assert scene.post(model=f"{name}/{scene.model}").status_code == 200
    assert scene.received(name)[0]["path"] == "/v1/chat/completions"
