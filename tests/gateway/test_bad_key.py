"""Keys that do not open the door, and those that do."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process, web_process
from tests.gateway.scene import CHAT, MESSAGES, Scene

WITHIN = 5.0  # seconds in which a change of a key holds in every process


def ask(url: str, **headers: str) -> httpx.Response:
    return httpx.get(
        f"{url}/v1/models", headers={name.replace("_", "-"): v for name, v in headers.items()}, trust_env=False
    )


def refused(response: httpx.Response, status: int = 401) -> None:
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"] == {401: "invalid_api_key", 403: "permission_denied"}[status]


def wait_until_refused(url: str, key: str) -> float:
    """Seconds until `key` was refused; fails after `WITHIN`."""
    started = time.monotonic()
    while ask(url, authorization=f"Bearer {key}").status_code != 401:
        assert time.monotonic() - started < WITHIN, "the key still works"
        time.sleep(0.05)
    return time.monotonic() - started


def wait_until_taken(url: str, key: str) -> None:
    started = time.monotonic()
    while ask(url, authorization=f"Bearer {key}").status_code != 200:
        assert time.monotonic() - started < WITHIN, "the key does not work yet"
        time.sleep(0.05)


def test_both_headers_are_taken(gateway: Process, key: str) -> None:
    wait_until_taken(gateway.url, key)
    assert ask(gateway.url, authorization=f"Bearer {key}").status_code == 200
    assert ask(gateway.url, authorization=f"bearer  {key}").status_code == 200
    assert ask(gateway.url, x_api_key=key).status_code == 200
    assert ask(gateway.url, authorization=f"Bearer {key}", x_api_key=key).status_code == 200


def test_one_header_sent_twice_with_two_keys_is_neither(gateway: Process, key: str) -> None:
    wait_until_taken(gateway.url, key)
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    for first, second in ((key, other), (other, key)):
        sent = [("authorization", f"Bearer {first}"), ("authorization", f"Bearer {second}")]
        refused(httpx.post(gateway.url + CHAT, json={}, headers=sent, trust_env=False))


def test_no_key(gateway: Process) -> None:
    refused(ask(gateway.url))
    refused(httpx.post(gateway.url + CHAT, json={}, trust_env=False))


@pytest.mark.parametrize(
    "value", ["gw_", "gw_x", "sk-abc", "gw_" + "A" * 40, "gw_" + "é" * 40, "null", "gw_" + "a" * 8000, "gw_a b"]
)
def test_a_malformed_key(gateway: Process, value: str) -> None:
    raw = f"Bearer {value}".encode()
    refused(httpx.get(f"{gateway.url}/v1/models", headers=[(b"authorization", raw)], trust_env=False))
    refused(httpx.get(f"{gateway.url}/v1/models", headers=[(b"x-api-key", value.encode())], trust_env=False))


@pytest.mark.parametrize("value", ["Basic dTpw", "Bearer", "Token x", ","])
def test_another_scheme(gateway: Process, value: str) -> None:
    refused(ask(gateway.url, authorization=value))


def test_a_key_with_one_character_changed(gateway: Process, key: str) -> None:
    for position in (3, 10, len(key) - 1):
        other = "a" if key[position] != "a" else "b"
        refused(ask(gateway.url, authorization=f"Bearer {key[:position]}{other}{key[position + 1 :]}"))


def test_two_different_keys(gateway: Process, account: Account, key: str) -> None:
    second = account.create_key()["key"]
    wait_until_taken(gateway.url, second)
    refused(ask(gateway.url, authorization=f"Bearer {key}", x_api_key=second))
    refused(ask(gateway.url, authorization=f"Bearer {key}", x_api_key="gw_wrong"))


def test_an_access_token_is_no_key(gateway: Process, account: Account) -> None:
    refused(ask(gateway.url, authorization=account.http.headers["authorization"]))


def test_a_key_is_no_access_token(gateway: Process, key: str) -> None:
    response = httpx.get(f"{gateway.url}/api/keys/gateway", headers={"authorization": f"Bearer {key}"}, trust_env=False)
    assert response.status_code == 401


def test_an_expired_key(gateway: Process, account: Account) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    key = account.create_key(expires_at=soon.isoformat())["key"]
    wait_until_taken(gateway.url, key)
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    refused(ask(gateway.url, authorization=f"Bearer {key}"))


def test_revocation_holds_in_every_process(gateway: Process, impatient: Process, account: Account) -> None:
    made = account.create_key()
    for process in (gateway, impatient):
        wait_until_taken(process.url, made["key"])
    account.call("DELETE", f"/api/keys/gateway/{made['id']}", 204)
    for process in (gateway, impatient):
        wait_until_refused(process.url, made["key"])
        refused(ask(process.url, authorization=f"Bearer {made['key']}"))


def test_a_rotated_keys_old_secret_lives_for_the_overlap(gateway: Process, account: Account) -> None:
    made = account.create_key()
    wait_until_taken(gateway.url, made["key"])
    rotated = account.call("POST", f"/api/keys/gateway/{made['id']}/rotate", 201, overlap_seconds=2)
    wait_until_taken(gateway.url, rotated["key"])
    assert ask(gateway.url, authorization=f"Bearer {made['key']}").status_code == 200
    time.sleep(2)
    refused(ask(gateway.url, authorization=f"Bearer {made['key']}"))
    assert ask(gateway.url, authorization=f"Bearer {rotated['key']}").status_code == 200


def test_a_changed_key_is_changed_for_the_next_requests(scene: Scene) -> None:
    made = scene.account.create_key()
    wait_until_taken(scene.url, made["key"])
    scene.account.call("PATCH", f"/api/keys/gateway/{made['id']}", 200, allowed_models=["another-model"])
    started = time.monotonic()
    while True:
        response = httpx.post(scene.url + CHAT, json=scene.body(), headers={"x-api-key": made["key"]}, trust_env=False)
        if response.status_code == 403:
            break
        assert time.monotonic() - started < WITHIN, response.text
        time.sleep(0.05)
    refused(response, 403)


def test_a_key_sees_and_asks_only_its_own_workspace(scene: Scene, other_account: Account) -> None:
    key = other_account.create_key()["key"]
    wait_until_taken(scene.url, key)
    assert scene.model not in ask(scene.url, x_api_key=key).text
    for model in (scene.model, f"{scene.name}/{scene.model}"):
        response = httpx.post(
            scene.url + CHAT, json={"model": model, "messages": MESSAGES}, headers={"x-api-key": key}, trust_env=False
        )
        assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert scene.received() == []


def test_a_key_without_the_scope(scene: Scene) -> None:
    key = scene.account.create_key(scopes=["documents:read"])["key"]
    started = time.monotonic()
    while (response := ask(scene.url, x_api_key=key)).status_code == 401:
        assert time.monotonic() - started < WITHIN
        time.sleep(0.05)
    response = httpx.post(scene.url + CHAT, json=scene.body(), headers={"x-api-key": key}, trust_env=False)
    refused(response, 403)


def test_a_process_that_starts_later_knows_the_key(gateway: Process, key: str) -> None:
    late = web_process(gateway.data_dir)
    try:
        late.wait_until_ready()
        wait_until_taken(late.url, key)
    finally:
        late.stop()
