"""`POST /v1/feedback`: a caller says how good an answer was."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from gateway_project import embedded
from gateway_project.lib.ids import uuid7_text
from tests.gateway.account import Account
from tests.gateway.process import Process
from tests.gateway.scene import Scene
from tests.gateway.test_headers import missing

PATH = "/v1/feedback"


def give(scene: Scene, request: httpx.Response | str, key: str = "", **fields: Any) -> httpx.Response:
    request_id = request if isinstance(request, str) else request.headers["x-request-id"]
    headers = {"authorization": f"Bearer {key or scene.key}"}
    return scene.http.post(PATH, json={"request_id": request_id, **fields}, headers=headers)


def refused(response: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert not missing(response)


def evidence(gateway: Process, scene: Scene) -> list[tuple[str, float, float]]:
    """The explicit evidence about the scene's model: complexity, good, bad."""
    with psycopg.connect(embedded.dsn(gateway.data_dir)) as connection:
        return connection.execute(
            "SELECT complexity, good, bad FROM routing_evidence WHERE source = 'explicit' AND model = %s", [scene.model]
        ).fetchall()


def test_an_answer_is_judged_the_moment_it_was_given(gateway: Process, scene: Scene) -> None:
    answer = scene.post(complexity="complex")
    response = give(scene, answer, score=-0.5)
    assert response.status_code == 200, response.text
    stored = response.json()
    assert stored.pop("created_at") <= stored.pop("updated_at")
    assert stored == {
        "request_id": answer.headers["x-request-id"],
        "score": -0.5,
        "provider": scene.name,
        "model": scene.model,
        "complexity": "complex",
    }
    assert not missing(response)
    assert evidence(gateway, scene) == [("complex", 0, 0.5)]


@pytest.mark.parametrize(("label", "score"), [("good", 1), ("bad", -1)])
def test_by_a_label(gateway: Process, scene: Scene, label: str, score: int) -> None:
    response = give(scene, scene.post(), label=label)
    assert response.json()["score"] == score
    assert [row[1:] for row in evidence(gateway, scene)] == [(max(score, 0), max(-score, 0))]


def test_a_stream_is_judged_alike(gateway: Process, scene: Scene) -> None:
    with scene.stream() as answer:
        answer.read()
    assert give(scene, answer, label="good").status_code == 200
    assert [row[1:] for row in evidence(gateway, scene)] == [(1, 0)]


def test_the_last_word_counts(gateway: Process, scene: Scene) -> None:
    answer = scene.post()
    first = give(scene, answer, label="good").json()
    second = give(scene, answer, score=-0.25).json()
    assert second["score"] == -0.25
    assert second["created_at"] == first["created_at"] < second["updated_at"]
    assert [row[1:] for row in evidence(gateway, scene)] == [(0, 0.25)]


def test_many_at_once_are_one(gateway: Process, scene: Scene) -> None:
    answer = scene.post()
    with ThreadPoolExecutor(8) as threads:
        scores = [1.0, -1.0, 0.5, -0.5] * 8
        responses = list(threads.map(lambda score: give(scene, answer, score=score), scores))
    assert {response.status_code for response in responses} == {200}
    [(_, good, bad)] = evidence(gateway, scene)
    assert (good, bad) in {(1, 0), (0, 1), (0.5, 0), (0, 0.5)}


def test_another_workspaces_request_does_not_exist(gateway: Process, scene: Scene, other_account: Account) -> None:
    answer = scene.post()
    scene.record(answer)
    strangers = other_account.create_key()["key"]
    refused(give(scene, answer, key=strangers, label="bad"), 404, "not_found", "request_id")
    assert evidence(gateway, scene) == []


def test_another_key_of_the_workspace_may_judge(scene: Scene, account: Account) -> None:
    assert give(scene, scene.post(), key=account.create_key()["key"], label="bad").status_code == 200


@pytest.mark.parametrize(
    ("request_id", "within"),
    [
        pytest.param("0190b3a4-0000-7000-8000-000000000000", 1.0, id="of long ago"),
        pytest.param("f81d4fae-7dec-4cd0-a765-00a0c91e6bf6", 1.0, id="of another version"),
        pytest.param("new", 5.0, id="as if of just now"),
    ],
)
def test_a_request_that_never_was(scene: Scene, request_id: str, within: float) -> None:
    before = time.monotonic()
    response = give(scene, uuid7_text() if request_id == "new" else request_id, label="good")
    refused(response, 404, "not_found", "request_id")
    assert time.monotonic() - before < within


def test_who_waits_for_a_request_keeps_nobody_from_being_heard(scene: Scene) -> None:
    answer = scene.post()
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(give, scene, uuid7_text(), label="bad") for _ in range(20)]
        time.sleep(0.3)
        before = time.monotonic()
        assert give(scene, answer, label="good").status_code == 200
        assert time.monotonic() - before < 2
        assert {future.result().status_code for future in waiting} == {404}


def test_a_crowd_of_one_workspace_keeps_no_other_from_being_heard(scene: Scene, other_account: Account) -> None:
    theirs = other_account.create_key()["key"]
    scene.post()
    with ThreadPoolExecutor(100) as crowd:
        waiting = [crowd.submit(give, scene, uuid7_text(), label="bad") for _ in range(100)]
        time.sleep(1)
        refused(give(scene, uuid7_text(), theirs, label="good"), 404, "not_found", "request_id")
        answers = [each.result() for each in waiting]
    assert {answer.status_code for answer in answers} == {404, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)


def test_a_request_that_failed_can_be_judged_and_is_no_models_fault(gateway: Process, scene: Scene) -> None:
    scene.behave({"status": 500})
    assert give(scene, scene.post(), label="bad").status_code == 200
    assert give(scene, scene.post(model="no-such-model"), label="bad").status_code == 200
    assert evidence(gateway, scene) == []


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("request_id", {"request_id": None, "label": "good"}),
        ("request_id", {"request_id": "", "label": "good"}),
        ("request_id", {"request_id": "chatcmpl-1", "label": "good"}),
        ("request_id", {"request_id": 7, "label": "good"}),
        ("request_id", {"request_id": ["x"], "label": "good"}),
        ("score", {}),
        ("score", {"score": None, "label": None}),
        ("score", {"score": "1"}),
        ("score", {"score": True}),
        ("score", {"score": 1.01}),
        ("score", {"score": -2}),
        ("score", {"score": [1]}),
        ("label", {"label": "GOOD"}),
        ("label", {"label": 1}),
        ("label", {"label": "good", "score": 1}),
        ("comment", {"label": "good", "comment": "thanks"}),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(scene: Scene, param: str, fields: dict[str, Any]) -> None:
    response = scene.http.post(PATH, json={"request_id": uuid7_text(), **fields})
    refused(response, 400, "invalid_request_error", param)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400])
def test_a_score_that_is_no_number_is_named(scene: Scene, number: bytes) -> None:
    body = b'{"request_id": "%s", "score": %s}' % (uuid7_text().encode(), number)
    refused(scene.http.post(PATH, content=body), 400, "invalid_request_error", "score")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"\xff"', b"[" * 4000, b'{"score": ' + b"9" * 4000], ids=lambda body: body[:12]
)
def test_a_body_that_is_no_object_is_refused(scene: Scene, body: bytes) -> None:
    refused(scene.http.post(PATH, content=body), 400, "invalid_request_error", "body")


def test_a_strange_name_of_a_field_is_told(scene: Scene) -> None:
    refused(scene.http.post(PATH, content=b'{"\\ud800": 1}'), 400, "invalid_request_error", "?")


def test_a_long_body_is_not_read(scene: Scene) -> None:
    refused(scene.http.post(PATH, content=b" " * 5000), 413, "request_too_large", "body")


def test_only_post_is_taken(scene: Scene) -> None:
    response = scene.http.get(PATH)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_a_key_is_needed(scene: Scene) -> None:
    body = {"request_id": uuid7_text(), "label": "good"}
    refused(scene.http.post(PATH, json=body, headers={"authorization": ""}), 401, "invalid_api_key")
    refused(give(scene, uuid7_text(), key="gw_nothing", label="good"), 401, "invalid_api_key")
    readers = scene.account.create_key(scopes=["documents:read"])["key"]
    refused(give(scene, uuid7_text(), key=readers, label="good"), 403, "permission_denied")


def test_an_expired_key_is_refused(scene: Scene) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    key = scene.account.create_key(expires_at=soon.isoformat())["key"]
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    refused(give(scene, scene.post(), key=key, label="good"), 401, "invalid_api_key")


def test_the_reference_describes_it(scene: Scene) -> None:
    operation = scene.http.get("/openapi.json").json()["paths"][PATH]["post"]
    assert operation["security"] == [{"GatewayKey": []}]
    properties = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert properties.keys() == {"request_id", "score", "label"}
