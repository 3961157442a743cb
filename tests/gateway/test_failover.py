"""Targets that fail, hang, limit or refuse: requests go on elsewhere, and come back when the target does."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import CHAT, Scene, payloads_of

Hasty = tuple[Scene, str]

HANG = {"delay": 60.0}


@pytest.fixture
def hasty(make_scene: MakeScene, account: Account) -> Iterator[Hasty]:
    """A scene whose key's policy waits for a second, and a provider on which requests for the first fall back."""
    name = f"hasty-{time.time_ns()}"
    policy = account.call(
        "POST", "/api/routing/policies", 201, name=name, fallbacks=[f"{name}-spare"],
        timeouts={"connect": 1, "first_byte": 1, "idle": 1, "total": 30},
    )  # fmt: skip
    key = account.create_key(policy=name)
    scene = make_scene(key=key["key"])
    spare = f"{scene.name}-b"
    scene.add_provider(spare, models=[f"{name}-spare"])
    yield scene, spare
    account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)
    account.call("DELETE", f"/api/routing/policies/{policy['id']}", 204)


def first(scene: Scene) -> str:
    return f"{scene.name}/{scene.model}"


def health_of(scene: Scene, model: str) -> dict[str, Any]:
    rows = scene.account.call("GET", "/api/routing/health?limit=500", 200)["data"]
    found: dict[str, Any] = next(row for row in rows if row["id"] == model)
    return found


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "before_headers"}, HANG, {"body": "junk"}], ids=str)
def test_a_dead_target_is_felt_by_few_and_has_its_traffic_back(hasty: Hasty, fault: dict[str, Any]) -> None:
    scene, spare = hasty
    assert scene.post(model=first(scene)).headers["x-gateway-provider"] == scene.name
    scene.behave(fault)
    answers = [scene.post(model=first(scene)) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-gateway-provider"] for answer in answers} == {spare}
    # A probe may be among them.
    assert sum(answer.headers["x-gateway-attempts"] != "1" for answer in answers) <= 5
    row = health_of(scene, first(scene))
    assert row["state"] == "open"
    assert row["reason"]
    scene.behave({})
    back_since = time.monotonic()
    while scene.post(model=first(scene)).headers["x-gateway-provider"] != scene.name:
        assert time.monotonic() - back_since < 10
        time.sleep(0.1)
    assert health_of(scene, first(scene))["state"] == "closed"


def test_many_at_once_send_one_probe(hasty: Hasty) -> None:
    scene, spare = hasty
    scene.behave({"status": 503})
    while health_of(scene, first(scene))["state"] != "open":
        scene.post(model=first(scene))
    scene.behave({"delay": 0.6})
    before = len(scene.received())
    time.sleep(1.1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: scene.post(model=first(scene)), range(8)))
    assert sorted(answer.headers["x-gateway-provider"] for answer in answers) == sorted([scene.name] + [spare] * 7)
    assert len(scene.received()) == before + 1


def test_a_target_that_hangs_is_left_before_the_first_request_times_out(
    make_scene: MakeScene, account: Account
) -> None:
    """A first byte may take minutes; a target that always took milliseconds is not waited for by everybody."""
    name = f"patient-{time.time_ns()}"
    account.call("POST", "/api/routing/policies", 201, name=name, fallbacks=[f"{name}-spare"])
    scene = make_scene(key=account.create_key(policy=name)["key"])
    scene.add_provider(f"{scene.name}-b", models=[f"{name}-spare"])
    for _ in range(25):
        assert scene.post(model=first(scene)).headers["x-gateway-provider"] == scene.name
    scene.behave(HANG)

    def ask(number: int) -> bool:
        time.sleep(number * 0.1)
        try:
            return scene.http.post(CHAT, json=scene.body(model=first(scene)), timeout=5).status_code == 200
        except httpx.TimeoutException:
            return False

    with ThreadPoolExecutor(40) as pool:
        answered = list(pool.map(ask, range(40)))
    assert answered.count(False) <= 20
    assert all(answered[20:25])


def test_a_target_that_limits_our_rate_rests_as_long_as_it_says(hasty: Hasty) -> None:
    scene, spare = hasty
    scene.behave({"status": 429, "headers": {"retry-after": "2"}}, {})
    limited_at = time.monotonic()
    assert scene.post(model=first(scene)).headers["x-gateway-provider"] == spare
    row = health_of(scene, first(scene))
    assert (row["state"], row["error_rate"]) == ("open", 0.0)
    assert "it answered 429, too many requests" in row["reason"]
    while scene.post(model=first(scene)).headers["x-gateway-provider"] == spare:
        time.sleep(0.05)
    assert 1.9 < time.monotonic() - limited_at < 4
    assert len(scene.received()) == 2


NO_PERMISSION = json.dumps(
    {"type": "error", "error": {"type": "permission_error", "message": "You may not use the specified resource."}}
)
OF_A_KEY = json.dumps({"message": "Incorrect API key provided: sk-***."})


@pytest.mark.parametrize(
    "behaviour",
    [{"status": 401}, {"status": 403, "body": NO_PERMISSION}, {"status": 403, "body": OF_A_KEY}],
    ids=["401", "403 by its type", "403 by its words"],
)
def test_a_refused_secret_is_not_sent_again_until_it_is_changed(scene: Scene, behaviour: dict[str, Any]) -> None:
    scene.behave(behaviour)
    assert scene.post(model=first(scene)).status_code == 503
    refused = scene.post(model=first(scene))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_available_model")
    assert "does not accept the API key" in refused.json()["error"]["message"]
    assert len(scene.received()) == 1
    row = health_of(scene, first(scene))
    assert (row["state"], row["retry_in_s"]) == ("open", None)
    scene.behave({})
    scene.account.change_provider(scene.provider, name=scene.name)
    assert scene.post(model=first(scene)).status_code == 503
    scene.account.change_provider(scene.provider, api_key="sk-the-next-one-0123456789")
    assert scene.post(model=first(scene)).status_code == 200
    assert health_of(scene, first(scene))["state"] == "closed"


def test_the_same_secret_entered_anew_is_tried(scene: Scene) -> None:
    """What was wrong may have been mended at the provider's: entering it again says so."""
    scene.behave({"status": 403, "body": NO_PERMISSION})
    assert scene.post(model=first(scene)).status_code == 503
    scene.behave({})
    scene.account.change_provider(scene.provider, api_key=f"sk-upstream-{scene.name}-secret")
    assert scene.post(model=first(scene)).status_code == 200


def test_a_refused_secret_does_not_stop_those_who_have_another_target(hasty: Hasty) -> None:
    scene, spare = hasty
    scene.behave({"status": 401})
    answers = [scene.post(model=first(scene)) for _ in range(3)]
    assert [answer.headers["x-gateway-attempts"] for answer in answers] == ["2", "1", "1"]
    assert {answer.headers["x-gateway-provider"] for answer in answers} == {spare}


@pytest.mark.parametrize(
    "error",
    [
        {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"], "flagged_input": "…"}},
        {"code": "content_filter", "message": "The prompt was filtered."},
    ],
    ids=["OpenRouter", "content_filter"],
)
def test_a_prompt_that_a_provider_moderates_closes_it_to_nobody(scene: Scene, error: dict[str, Any]) -> None:
    scene.behave({"status": 403, "body": json.dumps({"error": error})}, {})
    assert scene.post(model=first(scene)).status_code == 503
    assert scene.post(model=first(scene)).status_code == 200


def test_a_403_that_does_not_speak_of_the_secret_closes_the_target_for_a_moment_at_most(scene: Scene) -> None:
    """A client's words may provoke it: nobody should have to enter a secret anew because of them."""
    scene.behave(*[{"status": 403, "body": json.dumps({"error": {"message": "This may not be asked."}})}] * 5, {})
    for _ in range(5):
        assert scene.post(model=first(scene)).status_code == 503
    end = time.monotonic() + 10
    while scene.post(model=first(scene)).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_prompt_that_a_firewall_blocks_closes_the_provider_to_nobody(scene: Scene) -> None:
    """Those before OpenAI and others answer `<script>` in a prompt with a page: that says nothing of the secret."""
    page = "<!DOCTYPE html><html><title>Attention Required!</title><h1>Sorry, you have been blocked</h1></html>"
    scene.behave({"status": 403, "body": page}, {})
    assert scene.post(model=first(scene)).status_code == 503
    assert scene.post(model=first(scene)).status_code == 200
    assert health_of(scene, first(scene))["state"] == "closed"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_clients_faults_do_not_count(scene: Scene, status: int) -> None:
    scene.behave({"status": status})
    for _ in range(6):
        assert scene.post(model=first(scene)).status_code == status
    row = health_of(scene, first(scene))
    assert (row["state"], row["error_rate"]) == ("closed", 0.0)


def test_clients_that_leave_do_not_count(scene: Scene) -> None:
    scene.behave({"chunks": 50, "interval": 0.1})
    for _ in range(6):
        with scene.stream(model=first(scene)) as response:
            next(response.iter_raw())
    end = time.monotonic() + 3
    while health_of(scene, first(scene))["in_flight"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    row = health_of(scene, first(scene))
    assert (row["state"], row["error_rate"]) == ("closed", 0.0)


def test_a_target_alone_is_asked_although_its_breaker_is_open(scene: Scene) -> None:
    scene.behave({"status": 500})
    for _ in range(3):
        assert scene.post(model=first(scene)).status_code == 503
    assert health_of(scene, first(scene))["state"] == "open"
    scene.behave({})
    assert scene.post(model=first(scene)).status_code == 200


def test_a_stream_that_breaks_off_counts(scene: Scene) -> None:
    scene.behave({"drop": "after_chunks", "drop_after": 2, "interval": 0.02})
    with scene.stream(model=first(scene)) as response:
        assert "error" in payloads_of(response.read())[-1]
    assert health_of(scene, first(scene))["error_rate"] > 0


def test_speed_is_measured(scene: Scene) -> None:
    scene.behave({"delay": 0.2, "chunks": 20, "interval": 0.02})
    for _ in range(3):
        with scene.stream(model=first(scene)) as response:
            response.read()
    row = health_of(scene, first(scene))
    assert 190 < row["latency_ms"] < 500
    assert 10 < row["tokens_per_s"] < 200


def test_each_target_is_asked_once_before_any_is_asked_again(make_scene: MakeScene) -> None:
    scene = make_scene()
    second = f"{scene.name}-b"
    scene.add_provider(second)
    for provider in (scene.name, second):
        scene.behave({"status": 500}, provider=provider)
    error = scene.post().json()["error"]
    asked = [attempt["provider"] for attempt in error["attempts"]]
    assert asked[0] != asked[1]
    assert len(asked) == 4


def test_what_opened_is_counted_for_prometheus(scene: Scene) -> None:
    scene.behave({"status": 500})
    scene.post(model=first(scene))
    page = scene.http.get("/metrics").text
    assert 'gateway_breakers_opened_total{kind="openai_compatible"}' in page
