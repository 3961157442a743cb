"""`Idempotency-Key`: the same key and body replay the first answer, whichever process is asked."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process, web_process
from tests.gateway.scene import CHAT, Scene, payloads_of


@pytest.fixture(scope="module")
def second(gateway: Process) -> Iterator[Process]:
    """Another web process of the same installation."""
    process = web_process(gateway.data_dir)
    process.wait_until_ready()
    yield process
    process.stop()


def new_key() -> str:
    return f"order-{uuid.uuid4()}"


def ask(scene: Scene, value: str, path: str = CHAT, *, url: str = "", **fields: Any) -> httpx.Response:
    return scene.http.post(f"{url}{path}", json=scene.body(**fields), headers={"idempotency-key": value}, timeout=30)


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


def assert_replays(first: httpx.Response, again: httpx.Response) -> None:
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "x-gateway-provider", "x-gateway-model", "x-gateway-complexity", "x-gateway-privacy"):
        assert again.headers[name] == first.headers[name], name
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers["x-gateway-attempts"] == "0"
    streamed = first.headers["content-type"].startswith("text/event-stream")
    assert again.headers.get("x-gateway-cost-usd") == (None if streamed else "0")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_another_process_replays_the_answer(scene: Scene, second: Process, stream: bool) -> None:
    value = new_key()
    first = ask(scene, value, stream=stream)
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    again = ask(scene, value, url=second.url, stream=stream)
    assert_replays(first, again)
    assert len(scene.received()) == 1


def test_a_completion_is_replayed(scene: Scene) -> None:
    value = new_key()
    body = {"model": scene.model, "prompt": "Say something."}
    first, again = (scene.http.post("/v1/completions", json=body, headers={"idempotency-key": value}) for _ in range(2))
    assert_replays(first, again)


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
def test_a_message_is_replayed(scene: Scene, path: str) -> None:
    value = new_key()
    first, again = (
        scene.http.post(path, json={"message": "Hello."}, headers={"idempotency-key": value}) for _ in range(2)
    )
    assert first.status_code == 200
    assert_replays(first, again)
    assert len(scene.received()) == 1


def test_a_replay_is_a_request_of_its_own_that_costs_nothing(scene: Scene) -> None:
    value = new_key()
    first, again = ask(scene, value), ask(scene, value)
    original, replay = scene.record(first), scene.record(again)
    assert original["completion_tokens"] > 0
    assert (replay["status"], replay["cost_usd"], replay["attempts"]) == (200, "0", [])
    assert (replay["prompt_tokens"], replay["completion_tokens"], replay["cache"]) == (0, 0, "off")
    assert (original["replay_of"], replay["replay_of"]) == (None, original["id"])
    whose = ("provider", "model", "privacy")
    assert original["model"]
    assert [replay[name] for name in whose] == [original[name] for name in whose]


def test_the_order_of_members_and_spaces_make_no_other_request(scene: Scene) -> None:
    headers = {"idempotency-key": new_key(), "content-type": "application/json"}
    body = scene.body(temperature=0.5)
    first = scene.http.post(CHAT, content=json.dumps(body), headers=headers)
    written_otherwise = json.dumps(dict(reversed(body.items())), indent=3)
    assert_replays(first, scene.http.post(CHAT, content=written_otherwise, headers=headers))


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.1}, {"metadata": {"run": "2"}}, {"stream": True}, {"privacy_mode": "flexible"}],
    ids=lambda change: next(iter(change)),
)
def test_another_body_is_a_conflict(scene: Scene, change: dict[str, Any]) -> None:
    value = new_key()
    first = ask(scene, value)
    answer = ask(scene, value, **change)
    error = error_of(answer, 409)
    assert (error["code"], error["param"]) == ("idempotency_key_reused", "idempotency-key")
    assert first.headers["x-request-id"] in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert len(scene.received()) == 1


def test_another_endpoint_is_a_conflict(scene: Scene) -> None:
    value = new_key()
    headers = {"idempotency-key": value}
    assert scene.http.post("/chat", json={"message": "Hello."}, headers=headers).status_code == 200
    error_of(scene.http.post("/chat/stream", json={"message": "Hello."}, headers=headers), 409)


def test_another_header_of_the_gateway_is_a_conflict(scene: Scene) -> None:
    headers = {"idempotency-key": new_key()}
    assert scene.post(headers=headers).status_code == 200
    error_of(scene.post(headers={**headers, "x-gateway-privacy-mode": "strict"}), 409)


def test_two_gateway_keys_may_use_the_same_value(scene: Scene, account: Account) -> None:
    value = new_key()
    first = ask(scene, value)
    authorization = {"authorization": f"Bearer {account.create_key()['key']}", "idempotency-key": value}
    other = scene.http.post(CHAT, json=scene.body(temperature=1), headers=authorization)
    assert (first.status_code, other.status_code) == (200, 200)
    assert "idempotent-replayed" not in other.headers
    assert len(scene.received()) == 2


@pytest.mark.parametrize(
    "value", ["", "k" * 256, "k" * 10_240, "tab\there", "naïve"], ids=["empty", "256", "10 KB", "tab", "not ASCII"]
)
def test_a_value_that_is_none(scene: Scene, value: str) -> None:
    answer = scene.post(headers={"idempotency-key": value.encode("latin-1")})  # type: ignore[dict-item]
    error = error_of(answer, 400)
    assert error["param"] == "idempotency-key"
    assert "Idempotency-Key" in error["message"]
    assert scene.received() == []


def test_the_longest_value_will_do(scene: Scene) -> None:
    value = str(uuid.uuid4()).ljust(255, "~")
    assert_replays(ask(scene, value), ask(scene, value))


def test_one_that_still_runs_is_a_conflict_for_now(scene: Scene, second: Process) -> None:
    scene.behave({"delay": 1.5})
    value = new_key()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, scene, value)
        wait_for_attempt(scene)
        answer = ask(scene, value, url=second.url)
        error = error_of(answer, 409)
        assert error["code"] == "idempotency_key_in_use"
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        first = running.result()
    assert_replays(first, ask(scene, value, url=second.url))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_fifty_at_once_in_two_processes_are_one_call(scene: Scene, second: Process, stream: bool) -> None:
    scene.behave({"delay": 0.3, "chunks": 20})
    value = new_key()
    start = threading.Barrier(50)

    def one(number: int) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30, headers=scene.http.headers) as client:
            start.wait()
            url = (scene.url, second.url)[number % 2]
            return client.post(f"{url}{CHAT}", json=scene.body(stream=stream), headers={"idempotency-key": value})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(50)))
    assert len(scene.received()) == 1
    assert {answer.status_code for answer in answers} == {200, 409}
    made = [answer for answer in answers if answer.status_code == 200 and "idempotent-replayed" not in answer.headers]
    assert len(made) == 1
    assert {answer.content for answer in answers if answer.status_code == 200} == {made[0].content}
    assert len({scene.record(answer)["id"] for answer in answers}) == 50


def test_what_the_provider_refuses_of_a_request_is_replayed(scene: Scene) -> None:
    scene.behave({"status": 400}, {})
    value = new_key()
    first, again = ask(scene, value), ask(scene, value)
    assert first.status_code == 400
    assert_replays(first, again)
    assert len(scene.received()) == 1
    record = scene.record(again)
    assert (record["status"], record["cost_usd"]) == (400, "0")
    assert first.headers["x-request-id"] in record["error"]


@pytest.mark.parametrize("behaviour", [{"status": 500}, {"status": 429}, {"status": 401}], ids=str)
def test_what_may_succeed_later_is_asked_again(scene: Scene, behaviour: dict[str, Any]) -> None:
    scene.behave(behaviour)
    value = new_key()
    assert ask(scene, value).status_code in (429, 503)
    asked = len(scene.received())
    again = ask(scene, value, temperature=0.3)
    assert "idempotent-replayed" not in again.headers
    assert again.status_code != 409
    if behaviour["status"] != 401:  # after that one the target is not asked until its secret is another one
        assert len(scene.received()) > asked


def test_a_request_that_never_began_leaves_the_key_free(scene: Scene) -> None:
    value = new_key()
    error_of(ask(scene, value, model=f"{scene.name}/nothing-of-that-name"), 404)
    assert ask(scene, value).status_code == 200


def test_a_stream_that_broke_off_is_asked_again(scene: Scene) -> None:
    scene.behave({"chunks": 6, "error_after": 3}, {})
    value = new_key()
    broken = ask(scene, value, stream=True)
    assert "error" in payloads_of(broken.content)[-1]
    whole = ask(scene, value, stream=True)
    assert payloads_of(whole.content)[-1] == "[DONE]"
    assert_replays(whole, ask(scene, value, stream=True))


def test_half_an_answer_is_never_replayed(scene: Scene) -> None:
    """Who leaves in mid-stream stops the upstream; the next one with the key starts anew."""
    scene.behave({"chunks": 200, "interval": 0.03}, {})
    value = new_key()
    headers = {"idempotency-key": value}
    with scene.http.stream("POST", CHAT, json=scene.body(stream=True), headers=headers) as response:
        next(response.iter_bytes())
    end = time.monotonic() + 5
    while (again := ask(scene, value, stream=True)).status_code == 409:
        assert time.monotonic() < end, "the key is still claimed"
        time.sleep(0.1)
    assert "idempotent-replayed" not in again.headers
    assert payloads_of(again.content)[-1] == "[DONE]"
    assert len(scene.received()) == 2


def test_an_answer_too_large_to_be_kept_is_not_asked_for_twice(scene: Scene) -> None:
    noise = "".join(str(uuid.uuid4()) for _ in range(300_000))  # 10.8 MB, of which half is left when compressed
    scene.behave({"text": noise})
    value = new_key()
    first = ask(scene, value)
    assert first.status_code == 200
    assert len(first.content) > len(noise)
    assert "too large" in error_of(ask(scene, value), 409)["message"]
    assert len(scene.received()) == 1


def test_strict_answers_are_kept_in_the_house(make_scene: MakeScene) -> None:
    scene = make_scene(locality="local")
    value = new_key()
    first, again = (ask(scene, value, privacy_mode="strict") for _ in range(2))
    assert_replays(first, again)
    assert again.headers["x-gateway-privacy"] == "local"


def wait_for_attempt(scene: Scene, within: float = 5) -> None:
    end = time.monotonic() + within
    while not scene.received():
        assert time.monotonic() < end, "the upstream was never asked"
        time.sleep(0.02)
