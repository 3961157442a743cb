"""Requests that cannot be served get the contract's error, with the field named. None is a 500 or a hang."""

import socket
import time
from typing import Any

import httpx
import orjson
import pytest

from tests.gateway.process import SERVER, Process
from tests.gateway.scene import CHAT, MESSAGES, Scene

MEGABYTE = 2**20
NOT_JSON = {
    "nothing": b"",
    "blank": b"  \n",
    "half": b'{"model": "m", "messages": [',
    "words": b"model=m&messages=hi",
    "two objects": b"{}{}",
    "raw NUL": b'{"model": "m", "messages": "\x00"}',
    "a NUL at its end": b"{}\x00",
    "broken UTF-8": b'{"model": "\xff\xfe"}',
    "half a character": '{"model": "ü"}'.encode()[:12] + b'"}',
    "UTF-16": '{"model": "m"}'.encode("utf-16"),
    "a lone surrogate": b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "NaN": b'{"model": "m", "temperature": NaN}',
    "infinity": b'{"model": "m", "temperature": -Infinity}',
    "10,000 nested arrays": b'{"messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 nested objects": b'{"x": ' + b'{"x":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "a comment": b'{"model": "m" /* c */}',
    "gzip": bytes.fromhex("1f8b0800000000000003abae050043bfa6a302000000"),
}
WRONG_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": None}),
    ("messages", {"messages": []}),
    ("messages", {"messages": "hi"}),
    ("messages", {"messages": {}}),
    ("messages[0]", {"messages": ["hi"]}),
    ("messages[1]", {"messages": [*MESSAGES, None]}),
    ("messages[0].role", {"messages": [{"content": "hi"}]}),
    ("model", {"model": None}),
    ("model", {"model": ""}),
    ("model", {"model": 5}),
    ("model", {"model": ["auto"]}),
    ("model", {"model": "x" * 100_000}),
    ("stream", {"stream": "yes"}),
    ("stream", {"stream": 1}),
    ("stream_options", {"stream": True, "stream_options": []}),
    ("privacy_mode", {"privacy_mode": "STRICT"}),
    ("privacy_mode", {"privacy_mode": True}),
    ("sensitivity", {"sensitivity": "secret"}),
    ("complexity", {"complexity": 1}),
    ("cache", {"cache": "maybe"}),
    ("metadata", {"metadata": "blue"}),
    ("metadata", {"metadata": {"team": 1}}),
]


def refused(response: httpx.Response, param: str | None, status: int = 400) -> None:
    assert response.status_code == status, response.text[:300]
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    assert error["code"] == {400: "invalid_request_error", 404: "model_not_found", 413: "request_too_large"}[status]
    assert error["param"] == param
    assert len(error["message"]) < 1000


@pytest.mark.parametrize("name", NOT_JSON)
def test_not_json(scene: Scene, name: str) -> None:
    response = scene.http.post(CHAT, content=NOT_JSON[name], headers={"content-type": "application/json"})
    refused(response, "body")
    assert scene.record(response)["status"] == 400


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
def test_not_an_object(scene: Scene, body: bytes) -> None:
    refused(scene.http.post(CHAT, content=body), "body")


@pytest.mark.parametrize(("param", "fields"), WRONG_FIELDS, ids=[f"{p}={str(f)[:40]}" for p, f in WRONG_FIELDS])
def test_a_wrong_field(scene: Scene, param: str, fields: dict[str, Any]) -> None:
    response = scene.post(**fields)
    refused(response, param)
    assert scene.received() == []
    assert scene.record(response)["status"] == 400


def test_no_messages_at_all(scene: Scene) -> None:
    refused(scene.http.post(CHAT, json={"model": scene.model}), "messages")


def test_no_model_at_all(scene: Scene) -> None:
    refused(scene.http.post(CHAT, json={"messages": MESSAGES}), "model")


@pytest.mark.parametrize("prompt", [None, "", [], 5, {}])
def test_a_wrong_prompt(scene: Scene, prompt: Any) -> None:
    refused(scene.http.post("/v1/completions", json={"model": scene.model, "prompt": prompt}), "prompt")


@pytest.mark.parametrize("header", ["x-gateway-privacy-mode", "x-gateway-cache"])
def test_a_wrong_header(scene: Scene, header: str) -> None:
    refused(scene.post(headers={header: "perhaps"}), header)


@pytest.mark.parametrize(
    "model",
    ["no-such-model", "no-such-provider/m", "policy/none", "/", "a/", "/b", "a\x00b", "ü" * 90, "auto ", "x" * 301],
)
def test_an_unknown_model(scene: Scene, model: str) -> None:
    response = scene.post(model=model)
    assert response.status_code in (400, 404)
    refused(response, "model", response.status_code)
    assert scene.record(response)["status"] == response.status_code


def test_an_unknown_model_is_not_retrieved(scene: Scene) -> None:
    refused(scene.http.get("/v1/models/no-such-model"), "model", 404)


def test_nul_and_emoji_in_text_pass_through(scene: Scene) -> None:
    """They are JSON, so they are the model's affair; the ledger must not choke on them."""
    content = "a\x00b \U0001f642 \ue000 \u2028"
    response = scene.post(messages=[{"role": "user", "content": content}], user="\x00")
    assert response.status_code == 200
    assert scene.received()[0]["body"]["messages"][0]["content"] == content
    assert scene.record(response)["status"] == 200


def test_a_message_of_another_shape_is_the_upstreams_affair_and_breaks_nothing(scene: Scene) -> None:
    contents: list[Any] = [
        None,
        5,
        {"a": 1},
        [1, None, "x", {"type": "text"}, {"type": "text", "text": 5}],
        [[[]]],
        True,
    ]
    for content in contents:
        response = scene.post(messages=[{"role": "user", "content": content}])
        assert response.status_code in (200, 400)


def test_odd_values_of_known_fields_break_nothing(scene: Scene) -> None:
    odd: list[dict[str, Any]] = [
        {"tools": "x"}, {"tools": {}}, {"tools": [None]}, {"n": -1}, {"n": 10**30}, {"max_tokens": "many"},
        {"logprobs": []}, {"response_format": 1}, {"stream_options": "x"}, {"temperature": 1e308},
        {"rag": None}, {"metadata": None}, {"privacy_mode": None}, {"": ""}, {"\x00": 1}, {"__proto__": {}},
    ]  # fmt: skip
    for fields in odd:
        scene.behave({"body": '{"choices":[],"usage":null}'})
        response = scene.post(**fields)
        assert response.status_code < 500, (fields, response.text)


def begin_request(gateway: Process, key: str, head: str) -> socket.socket:
    """A connection on which a request's head was sent, and none of its body."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
    connection.sendall(
        f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\n{head}\r\n\r\n".encode()
    )
    return connection


reads_on_demand = pytest.mark.skipif(SERVER == "daphne", reason="daphne reads a body before it asks the application")


@reads_on_demand
def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(gateway: Process, key: str) -> None:
    connection = begin_request(gateway, key, f"content-length: {20 * MEGABYTE + 1}")
    answer = b""
    while b"}}" not in answer and (part := connection.recv(65536)):  # the head may come before the body
        answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in answer


@reads_on_demand
def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(gateway: Process, key: str) -> None:
    connection = begin_request(gateway, key, "transfer-encoding: chunked")
    connection.settimeout(0.05)
    chunk = b"100000\r\n" + b" " * MEGABYTE + b"\r\n"
    answer, sent = b"", 0
    end = time.monotonic() + 20
    while not answer and sent < 60 and time.monotonic() < end:
        try:
            connection.sendall(chunk)
            sent += 1
        except TimeoutError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            break
        if sent > 20:
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
    assert answer.startswith(b"HTTP/1.1 413 "), (sent, answer[:200])
    assert sent <= 30


def test_a_body_just_small_enough_is_taken(scene: Scene) -> None:
    response = scene.post(messages=[{"role": "user", "content": "x" * (20 * MEGABYTE - 1000)}])
    assert response.status_code == 200


def test_a_body_that_never_comes_does_not_stop_the_others(scene: Scene, gateway: Process) -> None:
    waiting = [begin_request(gateway, scene.key, "content-length: 1000") for _ in range(20)]
    assert scene.post().status_code == 200
    for connection in waiting:
        connection.close()
    assert scene.post().status_code == 200


def test_a_slow_body_is_taken(scene: Scene, gateway: Process) -> None:
    body = orjson.dumps(scene.body())
    connection = begin_request(gateway, scene.key, f"content-length: {len(body)}")
    for start in range(0, len(body), 20):
        connection.sendall(body[start : start + 20])
        time.sleep(0.02)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("messages", [None, 5, "hi", [1], [{"role": 5}], [{"role": "assistant"}]])
def test_a_completion_with_an_unknown_field_named_messages(scene: Scene, messages: Any) -> None:
    """As any unknown field it is passed on; the request has a target and a fallback, so it may be a conversation's."""
    scene.add_provider(f"{scene.name}-other")
    response = scene.http.post("/v1/completions", json={"model": scene.model, "prompt": "Hi", "messages": messages})
    assert response.status_code == 200, response.text
    assert scene.record(response)["status"] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_wrong_method(scene: Scene, method: str) -> None:
    response = scene.http.request(method, CHAT)
    assert response.status_code == 405
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/chat", "/v1/chat/completions/x", "/v1/%00", "/v1/..%2f..%2fetc"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path(scene: Scene, path: str, method: str) -> None:
    response = scene.http.request(method, path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("value", ["", "x" * 5000, "ünïcödé", "a\tb", "'; DROP TABLE requests; --"])
def test_a_strange_request_id_of_the_clients_own(scene: Scene, value: str) -> None:
    response = scene.http.post(CHAT, json=scene.body(), headers=[(b"x-request-id", value.encode())])
    assert response.status_code == 200
    assert response.headers["x-request-id"] != value
    assert scene.record(response)["status"] == 200
