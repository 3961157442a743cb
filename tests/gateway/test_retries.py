"""Two more tries at a target that failed before its first byte, then the next target, then an honest error."""

import time
from typing import Any

import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.process import free_port
from tests.gateway.scene import Scene, payloads_of

RETRIED = [
    {"status": 408},
    {"status": 429},
    {"status": 500},
    {"status": 502},
    {"status": 503},
    {"status": 504},
    {"status": 529},
    {"drop": "before_headers"},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", RETRIED, ids=str)
def test_the_third_try_answers(scene: Scene, failure: dict[str, Any], stream: bool) -> None:
    scene.behave(failure, failure, {})
    response = scene.post(stream=stream)
    assert response.status_code == 200, response.text
    assert response.headers["x-gateway-attempts"] == "3"
    assert len(scene.received()) == 3
    record = scene.record(response)
    assert record["status"] == 200
    assert len(record["attempts"]) == 3


def test_there_is_no_fourth_try(scene: Scene) -> None:
    scene.behave({"status": 500}, {"status": 500}, {"status": 500}, {})
    response = scene.post()
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "no_available_model"
    assert [attempt["status"] for attempt in error["attempts"]] == [500, 500, 500]
    assert {attempt["provider"] for attempt in error["attempts"]} == {scene.name}
    assert len(scene.received()) == 3


def test_retry_after_is_honoured(scene: Scene) -> None:
    scene.behave({"status": 429, "headers": {"retry-after": "1"}}, {})
    assert scene.post().status_code == 200
    first, second = scene.received()
    assert 1.0 <= second["received_at"] - first["received_at"] < 2.5


@pytest.mark.parametrize("value", ["86400", "Wed, 21 Oct 2099 07:28:00 GMT", "soon", "-5", "nan", "1e400", "9" * 5000])
def test_no_retry_after_makes_a_client_wait_long(scene: Scene, value: str) -> None:
    scene.behave({"status": 429, "headers": {"retry-after": value}})
    started = time.monotonic()
    response = scene.post()
    assert time.monotonic() - started < 8
    assert (response.status_code, response.json()["error"]["code"]) == (429, "upstream_rate_limited")


def test_a_refused_connection(make_scene: MakeScene) -> None:
    scene = make_scene(at=f"http://127.0.0.1:{free_port()}")
    response = scene.post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_available_model")
    assert len(response.json()["error"]["attempts"]) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_the_next_provider_is_asked(scene: Scene, stream: bool) -> None:
    second = f"{scene.name}-b"
    scene.add_provider(second)
    scene.behave({"status": 500})
    scene.behave({"status": 500}, provider=second)
    assert scene.post(stream=stream).status_code == 503  # whichever is first, both were asked
    assert scene.received()
    assert scene.received(second)


@pytest.mark.parametrize(
    "failure", [{"status": 500}, {"status": 401}, {"status": 429}, {"body": "junk"}, {"drop": "after_headers"}], ids=str
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_next_provider_answers(make_scene: MakeScene, failure: dict[str, Any], stream: bool) -> None:
    scene = make_scene()
    second = f"{scene.name}-b"
    scene.add_provider(second)
    scene.behave(failure)
    responses = [scene.post(stream=stream) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 200]
    assert {response.headers["x-gateway-provider"] for response in responses} == {second}


def test_a_named_provider_does_not_fall_back(scene: Scene) -> None:
    second = f"{scene.name}-b"
    scene.add_provider(second)
    scene.behave({"status": 500})
    assert scene.post(model=f"{scene.name}/{scene.model}").status_code == 503
    assert scene.received(second) == []


def test_the_demo_provider_is_never_a_fallback(scene: Scene) -> None:
    scene.providers.append(scene.account.add_provider(kind="demo", name=f"{scene.name}-demo"))
    scene.behave({"status": 500})
    assert scene.post(model=scene.model).status_code == 503


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
def test_a_clients_own_fault_is_not_retried(scene: Scene, status: int) -> None:
    scene.behave({"status": status})
    scene.post()
    assert len(scene.received()) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_secret_is_not_retried(scene: Scene, status: int) -> None:
    scene.behave({"status": status})
    assert scene.post().status_code == 503
    assert len(scene.received()) == 1


def test_a_stream_is_never_retried_after_its_first_chunk(scene: Scene) -> None:
    second = f"{scene.name}-b"
    scene.add_provider(second)
    for provider in (scene.name, second):
        scene.behave({"drop": "after_chunks", "drop_after": 2, "interval": 0.05}, provider=provider)
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert len(scene.received() + scene.received(second)) == 1
    assert "error" in payloads[-1]


def test_the_same_body_is_sent_again(scene: Scene) -> None:
    scene.behave({"status": 500}, {})
    scene.post(extra={"a": [1]})
    first, second = scene.received()
    assert first["body"] == second["body"]
