"""What goes wrong upstream, mapped to the contract's errors; never a 500, never a hang, never a secret."""

import base64
import json
import time
from decimal import Decimal
from typing import Any

import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.scene import Scene, payloads_of

JUNK: dict[str, dict[str, Any]] = {
    "junk": {"body": "}{ not json"},
    "nothing": {"body": ""},
    "an html page": {"body": "<!doctype html><title>Welcome</title>", "content_type": "text/html"},
    "another type": {"body": "hello", "content_type": "text/plain"},
    "an image": {"body_base64": base64.b64encode(bytes(range(256))).decode(), "content_type": "image/png"},
    "a list": {"body": "[1, 2]"},
    "null": {"body": "null"},
    "no choices": {"body": "{}"},
    "an error with status 200": {"body": '{"error":{"message":"quota","code":"insufficient_quota"}}'},
    "latin-1": {"body_base64": base64.b64encode('{"choices":[{"text":"Zürich"}]}'.encode("latin-1")).decode()},
    "a cut body": {"truncate": True},
    "a cut connection": {"drop": "after_headers"},
    "false gzip": {"body": "not gzip", "headers": {"content-encoding": "gzip"}},
    "an unknown encoding": {"body": "x", "headers": {"content-encoding": "rot13"}},
    "a huge header": {"headers": {"x-huge": "x" * 300_000}},
    "a redirect": {"status": 302, "headers": {"location": "http://127.0.0.1:1/"}, "body": ""},
    "no content": {"status": 204, "body": ""},
    "not modified": {"status": 304, "body": ""},
    "an odd status": {"status": 299, "body": "?"},
    "an unknown status": {"status": 799, "body": "?"},
    "an html error": {"status": 500, "body": "<html>oops</html>", "content_type": "text/html"},
}
BROKEN_STREAMS: dict[str, dict[str, Any]] = {
    **{
        name: JUNK[name]
        for name in JUNK
        if name not in ("a list", "null", "no choices", "latin-1", "a cut body", "junk")
    },
    "no events": {"body": ":\n\n", "content_type": "text/event-stream"},
    "only done": {"body": "data: [DONE]\n\n", "content_type": "text/event-stream"},
    "an error first": {"error_after": 0},
    "an event of junk": {"body": "data: }{\n\n", "content_type": "text/event-stream"},
    "a whole answer": {"body": '{"choices":[]}', "content_type": "application/json"},
}


@pytest.mark.parametrize("name", JUNK)
def test_an_answer_that_is_none(scene: Scene, name: str) -> None:
    scene.behave(JUNK[name])
    response = scene.post()
    assert response.status_code == 503, response.text
    error = response.json()["error"]
    assert error["code"] == "no_available_model"
    assert error["attempts"]
    assert scene.record(response)["status"] == 503


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_a_stream_that_is_none_fails_with_a_status(scene: Scene, name: str) -> None:
    """What breaks before the first chunk is an error with a status, not a stream that says one."""
    scene.behave(BROKEN_STREAMS[name])
    response = scene.post(stream=True)
    assert response.status_code == 503, response.text[:300]
    assert response.json()["error"]["code"] == "no_available_model"


def test_a_wrong_content_type_over_a_right_answer_does_not_matter_or_is_refused(scene: Scene) -> None:
    scene.behave({"content_type": "text/plain"})
    response = scene.post()
    assert response.status_code in (200, 503)
    if response.status_code == 200:
        assert response.headers["content-type"] == "application/json"


def test_gzip_that_nobody_asked_for(scene: Scene) -> None:
    scene.behave({"gzip": True})
    response = scene.post()
    assert response.json()["choices"][0]["message"]["content"] == "word 0 word 1 word 2 "
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_whole_answer_cut_within_a_character(scene: Scene, cut: int) -> None:
    scene.behave({"text": "🙂東ü" * 20, "split": cut})
    assert scene.post().json()["choices"][0]["message"]["content"] == "🙂東ü" * 20


def test_an_answer_that_ends_with_its_connection(scene: Scene) -> None:
    scene.behave({"close": True})
    assert scene.post().json()["usage"]["total_tokens"] == 10


def test_a_large_answer(scene: Scene) -> None:
    scene.behave({"text": "ü" * 2_000_000})
    assert len(scene.post().json()["choices"][0]["message"]["content"]) == 2_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_every_try_was_rate_limited(scene: Scene, stream: bool) -> None:
    scene.behave({"status": 429, "headers": {"retry-after": "0"}})
    response = scene.post(stream=stream)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (429, "upstream_rate_limited", "rate_limit_error")
    assert "retry-after" in response.headers


def test_a_mix_of_failures_is_no_available_model(scene: Scene) -> None:
    scene.behave({"status": 429}, {"status": 500}, {"status": 429})
    response = scene.post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_available_model")
    assert [attempt["status"] for attempt in response.json()["error"]["attempts"]] == [429, 500, 429]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_secret_is_not_told(scene: Scene, status: int, gateway: Process) -> None:
    secret = f"sk-upstream-{scene.name}-secret"
    body = {"error": {"message": f"Incorrect API key provided: {secret}.", "code": "invalid_api_key"}}
    scene.behave({"status": status, "body": json.dumps(body)})
    response = scene.post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_available_model")
    assert secret not in response.text + str(response.headers)
    assert secret not in str(scene.record(response))
    assert secret not in gateway.log.read_text(errors="replace")


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_a_clients_fault_keeps_its_status_and_message(scene: Scene, status: int, stream: bool) -> None:
    message = "This model's maximum context length is 8192 tokens."
    body = {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    }
    scene.behave({"status": status, "body": json.dumps(body)})
    response = scene.post(stream=stream)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["message"] == message
    assert error["code"] == "context_length_exceeded"
    assert scene.record(response)["status"] == status


@pytest.mark.parametrize(
    "body",
    [
        '{"detail":"tools[0] is malformed"}',
        '{"message":"tools[0] is malformed"}',
        '{"error":"tools[0] is malformed"}',
        '{"object":"error","message":"tools[0] is malformed","code":400}',
        "tools[0] is malformed",
    ],
)
def test_a_clients_fault_in_another_dialect(scene: Scene, body: str) -> None:
    scene.behave({"status": 400, "body": body})
    response = scene.post()
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    assert "tools[0] is malformed" in error["message"]


def test_a_secret_in_a_clients_fault_is_not_told(scene: Scene) -> None:
    secret = f"sk-upstream-{scene.name}-secret"
    scene.behave({"status": 400, "body": json.dumps({"error": {"message": f"no such org for {secret}"}})})
    response = scene.post()
    assert secret not in response.text
    assert secret not in str(scene.record(response))


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"drop": "after_chunks", "drop_after": 2}, id="reset"),
        pytest.param({"error_after": 2}, id="an error event"),
    ],
)
def test_a_failure_in_mid_stream_is_one_event_and_the_end(scene: Scene, failure: dict[str, Any]) -> None:
    scene.behave({**failure, "interval": 0.05})
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    *chunks, last = payloads
    assert response.status_code == 200
    assert len(chunks) >= 2
    assert all(chunk["choices"] for chunk in chunks)
    assert set(last["error"]) >= {"message", "type", "code", "param"}
    record = scene.record(response)
    assert record["error"]
    assert record["completion_tokens"] > 0
    assert record["usage_estimated"] is True


@pytest.mark.parametrize("end", [{"truncate": True}, {"linger": 5}], ids=["broken", "late"])
def test_what_follows_the_last_event_does_not_matter(scene: Scene, end: dict[str, Any]) -> None:
    """The answer was complete: no error comes after `[DONE]`, and nobody waits for an upstream that lingers."""
    scene.behave(end)
    started = time.monotonic()
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert payloads[-1] == "[DONE]"
    assert time.monotonic() - started < 2
    record = scene.record(response)
    assert (record["status"], record["completion_tokens"], record["usage_estimated"]) == (200, 3, False)


def test_half_an_event_at_the_end_is_not_passed_on(scene: Scene) -> None:
    whole = 'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    scene.behave({"body": whole + 'data: {"id":"c","obj', "truncate": True, "interval": 0.05})
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert payloads[0]["choices"][0]["delta"]["content"] == "hi"
    assert "error" in payloads[-1]


@pytest.mark.parametrize(
    "behaviour",
    [
        {"delay": 30},
        pytest.param({"first_byte_delay": 30}, id="silent after its head"),
        {"split": 1, "split_pause": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_try_timed_out(
    make_scene: MakeScene, impatient: Process, behaviour: dict[str, Any], stream: bool
) -> None:
    scene = make_scene(url=impatient.url)
    scene.behave(behaviour)
    response = scene.post(stream=stream)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
    assert scene.record(response)["status"] == 504


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_was_answered_too_late_is_billed(make_scene: MakeScene, impatient: Process, stream: bool) -> None:
    scene = make_scene(url=impatient.url, kind="openai", models=["gpt-4o"])  # its price is public
    scene.model = "gpt-4o"
    scene.behave({"delay": 30})
    record = scene.record(scene.post(stream=stream))
    (late,) = record["attempts"]
    assert late["prompt_tokens"] > 0
    assert (late["completion_tokens"], late["usage_estimated"]) == (0, True)
    assert Decimal(record["cost_usd"]) == Decimal(late["cost_usd"]) > 0
    assert [Decimal(line["cost_usd"]) for line in record["cost_lines"]] == [Decimal(late["cost_usd"])]


def test_a_stream_that_falls_silent(make_scene: MakeScene, impatient: Process) -> None:
    scene = make_scene(url=impatient.url)
    scene.behave({"interval": 30})
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert payloads[-1]["error"]["code"] == "upstream_timeout"
    scene.upstream.wait_until_left(within=1, scene=scene.name, model=scene.model)


def test_a_stream_that_never_ends(make_scene: MakeScene, impatient: Process) -> None:
    scene = make_scene(url=impatient.url)
    scene.behave({"chunks": 1000, "interval": 0.1})
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert payloads[-1]["error"]["code"] == "upstream_timeout"


def test_a_backend_without_tools(make_scene: MakeScene) -> None:
    scene = make_scene(kind="llamacpp")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    response = scene.post(tools=tools)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (501, "unsupported_by_backend")
    assert "llamacpp" in error["message"]
    assert "tools" in error["message"]
    assert scene.received() == []
    assert scene.post(tools=[]).status_code == 200


def test_another_provider_that_can_is_asked_instead(make_scene: MakeScene) -> None:
    scene = make_scene(kind="llamacpp")
    second = f"{scene.name}-b"
    scene.add_provider(second, kind="vllm")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    response = scene.post(tools=tools)
    assert response.headers["x-gateway-provider"] == second


@pytest.mark.parametrize(
    "kind", ["vllm", "ollama", "tgi", "sglang", "localai", "lmstudio", "openai_compatible", "llamacpp"]
)
def test_every_self_hosted_kind_answers(make_scene: MakeScene, kind: str) -> None:
    scene = make_scene(kind=kind)
    assert scene.post().status_code == 200
    with scene.stream() as response:
        assert payloads_of(response.read())[-1] == "[DONE]"
    assert response.headers["x-gateway-privacy"] == "local"


def test_an_upstream_that_ends_a_moment_after_its_last_event_is_waited_for(scene: Scene) -> None:
    """So that its connection is used again; the client has its whole answer by then."""
    scene.behave({"chunks": 10, "interval": 0.03, "linger": 0.1})
    with scene.stream() as response:
        assert response.read().endswith(b"data: [DONE]\n\n")
    time.sleep(0.3)
    assert [attempt["peer_left_at"] for attempt in scene.received()] == [None]
