"""Limits as a client meets them: headers on every answer, refusals that say when to come back, slots that are freed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.raw_client import RawClient
from tests.gateway.scene import CHAT, Scene

LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))

MakeLimited = Callable[..., Scene]


@pytest.fixture
def limited(make_scene: MakeScene, account: Account) -> MakeLimited:
    """`limited(rate_limit_requests=3)`: a stage whose key has these limits."""

    def make(**limits: Any) -> Scene:
        return make_scene(key=account.create_key(**limits)["key"])

    return make


def shown(answer: httpx.Response) -> tuple[int, int, int]:
    return int(answer.headers[LIMIT]), int(answer.headers[REMAINING]), int(answer.headers[RESET])


def refused(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 429, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    return error


def test_the_limit_is_served_and_then_refused_until_retry_after(limited: MakeLimited) -> None:
    scene = limited(rate_limit_requests=3, rate_limit_window=2)
    began = time.monotonic()
    answers = [scene.post() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [shown(answer)[:2] for answer in answers] == [(3, 2), (3, 1), (3, 0), (3, 0)]
    error = refused(answers[3])
    assert error["message"].startswith("This gateway key ('test') may make 3 requests in any 2 seconds; try again in ")
    assert (error["scope"], error["unit"], error["limit"], error["window"]) == ("key", "requests", 3, 2)
    seconds = int(answers[3].headers["retry-after"])
    assert seconds <= int(answers[3].headers[RESET]) <= 2
    assert len(scene.received()) == 3, "what is refused does not reach the upstream"
    if time.monotonic() - began < 0.9:
        assert seconds == 2
        time.sleep(seconds - 1)
        assert scene.post().status_code == 429
        time.sleep(1)
        assert scene.post().status_code == 200


def test_a_hundred_at_once_are_as_many_as_allowed(limited: MakeLimited) -> None:
    scene = limited(rate_limit_requests=10, rate_limit_window=60)
    with ThreadPoolExecutor(40) as threads:
        statuses = list(threads.map(lambda _: scene.post().status_code, range(100)))
    assert sorted(set(statuses)) == [200, 429]
    assert statuses.count(200) == 10


def test_every_answer_of_a_limited_key_shows_where_it_stands(limited: MakeLimited) -> None:
    scene = limited(rate_limit_requests=5, rate_limit_window=60)
    assert shown(scene.http.get("/v1/models")) == (5, 5, 0)
    assert shown(scene.http.get("/v1/models/nothing")) == (5, 5, 0)
    assert shown(scene.http.post(CHAT, content=b"{")) == (5, 5, 0), "what cannot be read does not count"
    assert shown(scene.post(model=f"{scene.name}/nothing"))[:2] == (5, 4)
    answer = scene.post()
    assert shown(answer)[:2] == (5, 3)
    assert shown(answer)[2] == 60
    feedback = {"request_id": answer.headers["x-request-id"], "label": "good"}
    assert shown(scene.http.post("/v1/feedback", json=feedback))[:2] == (5, 3), "judging does not count"
    assert shown(scene.http.post("/v1/feedback", json={}))[:2] == (5, 3)
    with scene.stream() as streamed:
        streamed.read()
    assert shown(streamed)[:2] == (5, 2)
    scene.behave({"status": 400})
    assert shown(scene.post())[:2] == (5, 1)


def test_chat_counts_with_the_others(limited: MakeLimited) -> None:
    scene = limited(rate_limit_requests=2, rate_limit_window=60)
    assert shown(scene.http.post("/chat", json={"message": "hi"}))[:2] == (2, 1)
    assert shown(scene.http.post("/chat/stream", json={"message": "hi"}))[:2] == (2, 0)
    refused(scene.http.post("/chat", json={"message": "hi"}))
    refused(scene.post())


def test_a_key_without_a_limit_of_its_own_has_the_installations(scene: Scene) -> None:
    assert shown(scene.post())[0] == 1_000_000


def test_the_workspaces_limit_holds_over_all_its_keys_and_its_change_at_once(gateway: Process) -> None:
    account = Account(gateway.url, "limited")
    account.call(
        "PATCH", f"/api/workspaces/{account.workspace['id']}", 200, rate_limit_requests=3, rate_limit_window=60
    )
    keys = [account.create_key()["key"] for _ in range(2)]
    account.add_provider(kind="demo", name="demo")
    ask = [httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {key}"}) for key in keys]
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    end = time.monotonic() + 5
    while ask[1].get("/v1/models").headers.get(LIMIT) != "3" or not ask[1].get("/v1/models").json().get("data"):
        assert time.monotonic() < end
        time.sleep(0.05)
    answers = [ask[n % 2].post(CHAT, json=body) for n in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    error = refused(answers[3])
    assert error["scope"] == "workspace"
    assert error["message"].startswith("All keys of the workspace '")
    account.call("PATCH", f"/api/workspaces/{account.workspace['id']}", 200, rate_limit_requests=None)
    end = time.monotonic() + 5
    while ask[0].post(CHAT, json=body).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_tokens_are_settled_by_what_the_upstream_counted(limited: MakeLimited) -> None:
    scene = limited(rate_limit_tokens=2000, rate_limit_window=60)
    scene.behave({"usage_object": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}})
    for _ in range(4):
        assert scene.post(max_tokens=1500).status_code == 200, "each reserves most of it, and uses little"
    error = refused(scene.post(max_tokens=2000))
    assert error["unit"] == "tokens"
    assert "may use 2000 tokens in any 60 seconds" in error["message"]
    assert LIMIT in scene.post().headers, "the installation's limit of requests holds beside it"


def test_a_stream_holds_its_slot_until_it_ends(limited: MakeLimited) -> None:
    scene = limited(rate_limit_streams=1)
    scene.behave({"chunks": 20, "interval": 0.02})
    with scene.stream() as first:
        assert first.status_code == 200
        error = refused(scene.post(stream=True))
        assert (error["unit"], error["limit"], "window" in error) == ("streams", 1, False)
        assert scene.post().status_code == 200, "what is no stream takes no slot"
        first.read()
    with scene.stream() as second:
        assert second.status_code == 200
        second.read()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_leaves_frees_its_slot(limited: MakeLimited, reset: bool) -> None:
    scene = limited(rate_limit_streams=1)
    scene.behave({"chunks": 500, "interval": 0.03})
    client = RawClient(scene, stream=True)
    client.read_until(b"word 5 ")
    assert scene.post(stream=True).status_code == 429
    client.leave(reset=reset)
    scene.behave({})
    end = time.monotonic() + 2
    while scene.post(stream=True).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_upstream_that_fails_frees_the_slot(limited: MakeLimited) -> None:
    scene = limited(rate_limit_streams=1)
    scene.behave({"status": 400})
    for _ in range(3):
        assert scene.post(stream=True).status_code == 400


@pytest.mark.parametrize(
    "limits",
    [
        {"rate_limit_requests": 0},
        {"rate_limit_requests": -1},
        {"rate_limit_requests": 10**30},
        {"rate_limit_requests": 1.5},
        {"rate_limit_requests": "many"},
        {"rate_limit_requests": 5, "rate_limit_window": 0},
        {"rate_limit_tokens": -1},
        {"rate_limit_streams": 0},
    ],
    ids=str,
)
def test_a_limit_that_is_none_is_refused_when_it_is_set(account: Account, limits: dict[str, Any]) -> None:
    account.call("POST", "/api/keys/gateway", 400, name="odd", **limits)
