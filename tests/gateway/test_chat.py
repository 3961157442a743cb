"""`/chat` and `/chat/stream`: the simple shape, through the same pipeline as everything else."""

import time
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene, payloads_of
from tests.gateway.test_headers import missing

PATHS = ("/chat", "/chat/stream")


def say(scene: Scene, path: str = "/chat", *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return scene.http.post(path, json={"message": "Say something.", **fields}, headers=headers)


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "code", "param"} <= error.keys()
    return error


def test_a_message_is_answered(scene: Scene) -> None:
    response = say(scene)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer == {
        "message": "word 0 word 1 word 2 ",
        "model_used": scene.model,
        "tokens_used": 10,
        "cost": response.headers["x-gateway-cost-usd"],
        "cached": False,
    }
    assert isinstance(answer["cost"], str)
    assert Decimal(answer["cost"]) >= 0


def test_it_is_asked_upstream_as_a_chat_completion(scene: Scene) -> None:
    say(scene, message="Grüezi", temperature=0.5, max_tokens=50, complexity="expert", sensitivity="public")
    [asked] = scene.received()
    assert asked["path"].endswith("/chat/completions")
    assert asked["body"] == {
        "model": scene.model,
        "messages": [{"role": "user", "content": "Grüezi"}],
        "temperature": 0.5,
        "max_tokens": 50,
    }


@pytest.mark.parametrize("path", PATHS)
def test_it_has_the_headers_and_the_record_of_any_request(scene: Scene, path: str) -> None:
    response = say(scene, path, complexity="complex")
    assert response.headers["x-gateway-model"] == scene.model
    assert response.headers["x-gateway-complexity"] == "complex"
    assert not missing(response)
    record = scene.record(response)
    assert (record["endpoint"], record["status"], record["requested_model"]) == (path, 200, "auto")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 3)
    assert record["stream"] is path.endswith("stream")


def test_a_message_is_as_hard_as_in_a_chat_completion(scene: Scene) -> None:
    hard = "Prove rigorously that every bounded sequence in a Hilbert space has a weakly convergent subsequence."
    wanted = scene.post(messages=[{"role": "user", "content": hard}]).headers["x-gateway-complexity"]
    for path in ("/chat", "/chat/stream"):
        response = say(scene, path, message=hard)
        assert response.headers["x-gateway-complexity"] == wanted != "simple"
    assert scene.record(response)["complexity"] == wanted


def test_a_stream_names_the_model_then_says_the_text(scene: Scene) -> None:
    response = say(scene, "/chat/stream")
    assert response.headers["content-type"].startswith("text/event-stream")
    first, *said, last = payloads_of(response.content)
    assert first == {"model": scene.model}
    assert last == "[DONE]"
    assert all(list(event) == ["content"] for event in said)
    assert "".join(event["content"] for event in said) == "word 0 word 1 word 2 "


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({"split": 1}, id="a byte at a time"),
        pytest.param({"split": "whole"}, id="all at once"),
        pytest.param({"done": False}, id="without an end"),
        pytest.param({"usage": "every"}, id="with usage in each chunk"),
    ],
)
def test_however_the_upstream_streams(scene: Scene, behaviour: dict[str, Any]) -> None:
    scene.behave({"text": 'A "quoted"\n\ndata: [DONE] 🦊', **behaviour})
    first, *said, last = payloads_of(say(scene, "/chat/stream").content)
    assert (first, last) == ({"model": scene.model}, "[DONE]")
    assert "".join(event["content"] for event in said) == 'A "quoted"\n\ndata: [DONE] 🦊'


def test_an_upstream_that_breaks_off_ends_the_stream_with_one_error(scene: Scene) -> None:
    scene.behave({"drop": "after_chunks", "drop_after": 2})
    response = say(scene, "/chat/stream")
    assert response.status_code == 200
    first, *said, last = payloads_of(response.content)
    assert first == {"model": scene.model}
    assert said == [{"content": "word 0 "}]
    assert list(last) == ["error"]
    assert last["error"]["code"] == "upstream_interrupted"
    assert scene.record(response)["status"] == 502


@pytest.mark.parametrize("path", PATHS)
def test_an_upstream_that_fails_at_once_is_an_error(scene: Scene, path: str) -> None:
    scene.behave({"status": 500})
    assert error_of(say(scene, path), 503)["code"] == "no_available_model"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"choices": [{"message": {"content": None, "refusal": "I will not."}}]}, "I will not."),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "thinking"}]}}]}, "a"),
        ({"choices": []}, ""),
        ({"choices": [{"message": None}]}, ""),
    ],
    ids=["a refusal", "in parts", "no choice", "no message"],
)
def test_whatever_the_upstream_answers_with(scene: Scene, answer: dict[str, Any], message: str) -> None:
    scene.behave({"body": orjson.dumps(answer).decode()})
    response = say(scene)
    assert response.status_code == 200
    assert response.json()["message"] == message


@pytest.mark.parametrize("path", PATHS)
def test_confidential_never_leaves_for_the_cloud(make_scene: MakeScene, path: str) -> None:
    scene = make_scene(kind="openai")
    assert error_of(say(scene, path, sensitivity="confidential"), 403)["code"] == "permission_denied"
    assert scene.received() == []


def test_confidential_is_answered_here(scene: Scene) -> None:
    response = say(scene, sensitivity="confidential")
    assert response.headers["x-gateway-privacy"] == "local"
    assert response.json()["cached"] is False


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("message", {"message": ""}),
        ("message", {"message": None}),
        ("message", {"message": 5}),
        ("message", {"message": ["hi"]}),
        ("message", {"message": "x" * 10_001}),
        ("message", {"message": "x" * 1_000_000}),
        ("sensitivity", {"sensitivity": "secret"}),
        ("complexity", {"complexity": "SIMPLE"}),
        ("temperature", {"temperature": -0.1}),
        ("temperature", {"temperature": 2.1}),
        ("temperature", {"temperature": "1"}),
        ("temperature", {"temperature": True}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_tokens", {"max_tokens": 1.5}),
        ("max_tokens", {"max_tokens": True}),
        ("max_tokens", {"max_tokens": 10**9}),
        ("model", {"model": "gpt-5"}),
        ("stream", {"stream": True}),
        ("messages", {"messages": []}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_named(scene: Scene, path: str, param: str, fields: dict[str, Any]) -> None:
    error = error_of(say(scene, path, **fields), 400)
    assert (error["code"], error["param"]) == ("invalid_request_error", param)
    assert scene.received() == []


@pytest.mark.parametrize("body", [b"", b"[]", b'"hi"', b"{", b'{"message": NaN}'])
def test_a_body_that_is_no_object_is_refused(scene: Scene, body: bytes) -> None:
    assert error_of(scene.http.post("/chat", content=body), 400)["param"] == "body"


def test_a_message_may_have_ten_thousand_characters(scene: Scene) -> None:
    assert say(scene, message="é" * 10_000).status_code == 200
    assert say(scene, message="x", temperature=None, max_tokens=None, sensitivity=None).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_only_post_is_taken(scene: Scene, path: str) -> None:
    response = scene.http.get(path)
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", PATHS)
def test_a_gateway_key_is_needed(scene: Scene, path: str) -> None:
    response = say(scene, path, headers={"authorization": ""})
    assert error_of(response, 401)["code"] == "invalid_api_key"
    assert not missing(response)
    key = scene.account.create_key(scopes=["documents:read"])["key"]
    assert error_of(say(scene, path, headers={"authorization": f"Bearer {key}"}), 403)["code"] == "permission_denied"


def test_there_is_nothing_else_under_it(scene: Scene) -> None:
    for path in ("/chat/", "/chat/nothing"):
        assert error_of(scene.http.post(path, json={}), 404)["code"] == "not_found"


def test_a_preflight_is_answered_as_elsewhere(scene: Scene) -> None:
    response = scene.http.options(
        "/chat", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert response.status_code < 500
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_client_that_leaves_stops_the_upstream(scene: Scene) -> None:
    scene.behave({"chunks": 500, "interval": 0.03})
    with scene.http.stream("POST", "/chat/stream", json={"message": "Tell me everything."}) as response:
        next(part for part in response.iter_bytes() if b"word" in part)
        before = time.time()
    attempt = scene.upstream.wait_until_left(within=3, scene=scene.name, model=scene.model)
    assert attempt["peer_left_at"] - before < 1
    record = scene.record(response)
    assert (record["status"], record["endpoint"]) == (499, "/chat/stream")
    assert 0 < record["completion_tokens"] < 100


def test_the_reference_names_both(scene: Scene) -> None:
    paths = scene.http.get("/openapi.json").json()["paths"]
    for path in PATHS:
        operation = paths[path]["post"]
        assert operation["security"] == [{"GatewayKey": []}]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["required"] == ["message"]
