"""The exact cache, from the outside: what is asked again costs nothing, and reaches nobody who may not have it."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.scene import CHAT, Scene, payloads_of
from tests.upstream import Upstream

COMPLETIONS = "/v1/completions"
PRICED = {"input_usd_per_mtok": "10", "output_usd_per_mtok": "20"}
TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}
CALLED: dict[str, Any] = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{
        "index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call-1", "type": "function", "function": {"name": "pay", "arguments": "{}"}},
        ]},
    }],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}  # fmt: skip


def certain(scene: Scene, **fields: Any) -> httpx.Response:
    return scene.post(temperature=0, **fields)


def state(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    found: str = response.headers["x-gateway-cache"]
    return found


def calls(scene: Scene) -> int:
    return len(scene.received())


# --- Hits ----------------------------------------------------------------------------------------


def test_what_is_asked_again_is_answered_without_anybody(scene: Scene) -> None:
    first, second = certain(scene), certain(scene)

    assert (state(first), state(second), calls(scene)) == ("miss", "hit", 1)
    assert second.content == first.content
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    same = ("provider", "model", "complexity", "privacy")
    assert [second.headers[f"x-gateway-{name}"] for name in same] == [
        first.headers[f"x-gateway-{name}"] for name in same
    ]
    assert (second.headers["x-gateway-attempts"], second.headers["x-gateway-cost-usd"]) == ("0", "0")


def test_a_hit_costs_nothing_and_its_record_says_what_it_saved(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai")
    scene.account.call("PATCH", f"/api/routing/models/{scene.name}/{scene.model}", 200, **PRICED)
    first, second = scene.record(certain(scene)), scene.record(certain(scene))

    assert Decimal(first["cost_usd"]) == 7 * Decimal("0.00001") + 3 * Decimal("0.00002")
    assert (first["cache"], second["cache"], second["cost_usd"]) == ("miss", "hit", "0")
    assert Decimal(second["saved_usd"]) == Decimal(first["cost_usd"])
    for name in ("provider", "model", "complexity", "privacy", "prompt_tokens", "completion_tokens"):
        assert second[name] == first[name]
    assert second["attempts"] == []


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True), (False, False)])
def test_an_answer_is_given_as_it_is_asked_for(scene: Scene, path: str, *, first: bool, second: bool) -> None:
    ask: dict[str, Any] = {"prompt": "Say something."} if path == COMPLETIONS else {}
    said = "word 0 word 1 word 2 "
    for stream, expected in ((first, "miss"), (second, "hit")):
        wanted: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
        response = scene.post(path, temperature=0, stream=stream, **ask, **wanted)
        assert state(response) == expected
        if stream:
            *chunks, usage, done = payloads_of(response.content)
            assert done == "[DONE]"
            assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)
            pieces = [chunk["choices"][0] for chunk in chunks]
            assert "".join(piece.get("text") or piece.get("delta", {}).get("content") or "" for piece in pieces) == said
            assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] == ["stop"]
            assert {chunk["object"] for chunk in chunks} == {
                "text_completion" if path == COMPLETIONS else "chat.completion.chunk"
            }
        else:
            answer = response.json()
            [choice] = answer["choices"]
            assert (choice["text"] if path == COMPLETIONS else choice["message"]["content"]) == said
            assert (choice["finish_reason"], answer["usage"]["completion_tokens"]) == ("stop", 3)
    assert calls(scene) == 1


def test_usage_is_in_a_replayed_stream_where_it_is_asked_for(scene: Scene) -> None:
    certain(scene, stream=True)
    without = payloads_of(certain(scene, stream=True).content)
    with_usage = payloads_of(certain(scene, stream=True, stream_options={"include_usage": True}).content)

    assert not any("usage" in chunk for chunk in without[:-1])
    assert with_usage[-2]["usage"]["total_tokens"] == 10
    assert calls(scene) == 1


def test_the_sdk_reads_a_replayed_stream(scene: Scene) -> None:
    certain(scene)
    stream = scene.sdk.chat.completions.create(
        model=scene.model, messages=[{"role": "user", "content": "Say something."}], temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "word 0 word 1 word 2 "
    assert calls(scene) == 1


def test_the_simple_shape_says_that_it_was_cached(scene: Scene) -> None:
    asked = {"message": f"To {scene.name}.", "temperature": 0}
    answers = [scene.http.post("/chat", json=asked).json() for _ in range(2)]

    assert [answer["cached"] for answer in answers] == [False, True]
    assert (answers[1]["message"], answers[1]["cost"]) == (answers[0]["message"], "0")
    assert answers[1]["tokens_used"] == answers[0]["tokens_used"]
    streamed = payloads_of(scene.http.post("/chat/stream", json=asked).content)
    assert "".join(part.get("content", "") for part in streamed[1:-1]) == answers[0]["message"]
    assert calls(scene) == 1


# --- On and off ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "states"),
    [
        ({}, ["off", "off"]),
        ({"temperature": 0.1}, ["off", "off"]),
        ({"temperature": 0.0}, ["miss", "hit"]),
        ({"temperature": 0, "cache": "off"}, ["off", "off"]),
        ({"cache": "on"}, ["miss", "hit"]),
        ({"temperature": 1, "cache": "on"}, ["miss", "hit"]),
        ({"temperature": 0, "store": True}, ["off", "off"]),
        ({"temperature": 0, "store": True, "cache": "on"}, ["miss", "hit"]),
        ({"temperature": 0, "store": False}, ["miss", "hit"]),
        ({"temperature": 0, "web_search_options": {}}, ["off", "off"]),
    ],
)
def test_who_uses_the_cache(scene: Scene, fields: dict[str, Any], states: list[str]) -> None:
    assert [state(scene.post(**fields)) for _ in states] == states


@pytest.mark.parametrize(
    ("exact", "certainly", "otherwise"),
    [(None, "hit", "off"), (True, "hit", "hit"), (False, "off", "off")],
)
def test_a_policy_says_who_uses_the_cache(scene: Scene, exact: bool | None, certainly: str, otherwise: str) -> None:
    name = f"exact-{exact}".lower()
    policy = scene.account.call("POST", "/api/routing/policies", 201, name=name, cache={"exact": exact})
    key = scene.account.create_key(policy=name)["key"]
    ours = Scene.__new__(Scene)
    ours.__dict__ |= scene.__dict__
    ours.http = httpx.Client(
        base_url=scene.url, timeout=15, trust_env=False, headers={"authorization": f"Bearer {key}"}
    )
    scene.wait_until_served(scene.model)
    assert policy["cache"]["exact"] is exact
    assert [state(ours.post(temperature=0)) for _ in range(2)][1] == certainly
    assert [state(ours.post()) for _ in range(2)][1] == otherwise
    assert state(ours.post(cache="off")) == "off"
    assert [state(ours.post(cache="on", seed=1)) for _ in range(2)][1] == "hit"


def test_the_header_switches_it_off(scene: Scene) -> None:
    certain(scene)
    assert state(certain(scene, headers={"x-gateway-cache": "off"})) == "off"
    assert calls(scene) == 2


# --- What is kept --------------------------------------------------------------------------------


def test_a_call_of_a_tool_is_kept_only_where_that_is_asked_for(scene: Scene) -> None:
    scene.behave({"body": httpx.Response(200, json=CALLED).text, "content_type": "application/json"})
    assert [state(certain(scene, tools=[TOOL])) for _ in range(2)] == ["miss", "miss"]
    assert [state(certain(scene, tools=[TOOL], cache="on")) for _ in range(2)] == ["miss", "hit"]
    streamed = payloads_of(certain(scene, tools=[TOOL], cache="on", stream=True).content)
    [call] = next(chunk["choices"][0]["delta"]["tool_calls"] for chunk in streamed[:-1]
                  if "tool_calls" in chunk["choices"][0]["delta"])  # fmt: skip
    assert (call["index"], call["function"]["name"]) == (0, "pay")
    assert state(certain(scene, tools=[TOOL])) == "miss"
    assert calls(scene) == 4


@pytest.mark.parametrize("stream", [True, False])
def test_a_failed_answer_is_not_kept(scene: Scene, *, stream: bool) -> None:
    scene.behave({"error_after": 1} if stream else {"status": 400}, {})
    first = certain(scene, stream=stream)
    assert first.headers["x-gateway-cache"] == "miss"
    assert state(certain(scene, stream=stream)) == "miss"
    assert state(certain(scene, stream=stream)) == "hit"


def test_a_stream_that_the_client_left_is_not_kept(scene: Scene) -> None:
    scene.behave({"chunks": 50, "interval": 0.05}, {})
    with scene.stream(temperature=0) as response:
        next(response.iter_bytes())
    scene.upstream.wait_until_left(within=3, scene=scene.name, model=scene.model)
    assert state(certain(scene)) == "miss"


@pytest.mark.parametrize(("limit", "expected"), [({"max_tokens": 3}, "hit"), ({}, "miss")])
def test_an_answer_that_was_cut_is_kept_where_the_client_cut_it(
    scene: Scene, limit: dict[str, int], expected: str
) -> None:
    cut = {**CALLED, "choices": [
        {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "word"}},
    ]}  # fmt: skip
    scene.behave({"body": httpx.Response(200, json=cut).text, "content_type": "application/json"})
    certain(scene, **limit)
    assert state(certain(scene, **limit)) == expected


@pytest.mark.parametrize("message", ["a text", 5])
def test_an_odd_answer_that_has_no_other_form_is_asked_for_anew(scene: Scene, message: Any) -> None:
    odd = {**CALLED, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    scene.behave({"body": httpx.Response(200, json=odd).text, "content_type": "application/json"}, {})
    assert [state(certain(scene)), state(certain(scene, stream=True))] == ["miss", "miss"]


# --- Who may have it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"privacy_mode": "strict"},
        {"sensitivity": "confidential"},
        {"sensitivity": "internal"},
        {"messages": [{"role": "user", "content": "Say something. "}]},
        {"seed": 1},
        {"unknown_field": {"a": 1}},
        {"task": "vision"},
        {"complexity": "expert"},
    ],
)
def test_what_differs_in_anything_that_matters_is_another_request(scene: Scene, fields: dict[str, Any]) -> None:
    certain(scene)
    assert state(certain(scene, **fields)) == "miss"
    assert state(certain(scene)) == state(certain(scene, **fields)) == "hit"


def test_what_does_not_matter_makes_no_difference(scene: Scene) -> None:
    certain(scene, user="ada", metadata={"run": "1"})
    reordered = {"temperature": 0, "messages": [{"content": "Say something.", "role": "user"}], "model": scene.model}
    assert state(certain(scene, user="bob", metadata={"run": "2"})) == "hit"
    assert state(scene.http.post(CHAT, json=reordered)) == "hit"


def test_strict_and_confidential_share_no_answer_with_anything_else(scene: Scene) -> None:
    assert state(certain(scene, privacy_mode="strict")) == "miss"
    assert state(certain(scene, privacy_mode="strict")) == "hit"
    assert state(certain(scene)) == "miss"
    assert state(certain(scene, sensitivity="internal")) == "miss"


def test_another_workspace_has_its_own(scene: Scene, other_account: Account, upstream: Upstream) -> None:
    certain(scene)
    theirs = Scene(scene.url, upstream, other_account, other_account.create_key()["key"])
    theirs.add_provider(f"{theirs.name}-twin", models=[scene.model])
    try:
        assert state(certain(theirs, model=scene.model)) == "miss"
    finally:
        theirs.close()


def test_a_key_gets_no_answer_of_a_model_that_it_may_not_use(scene: Scene) -> None:
    scene.add_provider(f"{scene.name}-b", models=["other-model"])
    certain(scene, model=scene.model)
    bound = scene.account.create_key(allowed_models=["other-model"])["key"]
    asked = scene.body(temperature=0)
    response = httpx.post(f"{scene.url}{CHAT}", json=asked, headers={"authorization": f"Bearer {bound}"}, timeout=15)
    assert response.status_code == 403, response.text


def test_a_provider_that_is_gone_or_off_answers_nothing_any_more(scene: Scene) -> None:
    certain(scene)
    scene.account.change_provider(scene.provider, enabled=False)
    assert certain(scene).status_code in (404, 503)
    scene.account.change_provider(scene.provider, enabled=True)
    scene.wait_until_served(scene.model)
    scene.account.change_provider(scene.provider, base_url=scene.upstream.base_url(f"{scene.name}-elsewhere"))
    scene.upstream.serve([scene.model], scene=f"{scene.name}-elsewhere")
    assert state(certain(scene)) == "miss"


def test_another_version_of_the_policy_answers_anew(scene: Scene) -> None:
    policy = scene.account.call("POST", "/api/routing/policies", 201, name="changing", models=[scene.model])
    asked: dict[str, Any] = {"model": "policy/changing", "temperature": 0}
    assert [state(scene.post(**asked)) for _ in range(2)] == ["miss", "hit"]
    scene.account.call("PATCH", f"/api/routing/policies/{policy['id']}", 200, weights={"speed": 1})
    assert state(scene.post(**asked)) == "miss"


def test_hits_and_misses_are_counted(scene: Scene, gateway: Process) -> None:
    def counted() -> tuple[float, float]:
        text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("gateway_cache_"))
        return (
            float(values['gateway_cache_hits_total{layer="exact"}']),
            float(values['gateway_cache_misses_total{layer="exact"}']),
        )

    certain(scene)
    certain(scene)
    hits, misses = counted()
    certain(scene)
    certain(scene, seed=2)
    scene.post()
    assert counted() == (hits + 1, misses + 1)
