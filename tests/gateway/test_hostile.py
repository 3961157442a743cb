"""Those who mean harm: what they send is refused in the contract's shape, and entered in the ledger like any other."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

import orjson
import pytest

from tests.gateway.process import SERVER, Process
from tests.gateway.scene import CHAT, Scene


def test_an_error_with_nul_is_entered_in_the_ledger(scene: Scene) -> None:
    """Postgres keeps no NUL, in text or in JSON."""
    scene.behave({"status": 400, "body": '{"error":{"message":"a\\u0000b","code":"c\\u0000d"}}'})
    response = scene.post()
    assert (response.status_code, response.json()["error"]["message"]) == (400, "ab")
    record = scene.record(response)
    assert (record["error"], record["attempts"][0]["error"]) == ("ab", "ab")


def test_a_secret_that_an_error_spells_otherwise(scene: Scene) -> None:
    secret = f"sk-upstream-{scene.name}-secret"
    spelled = "".join(f"\\u{ord(character):04x}" for character in secret)
    scene.behave({"status": 400, "body": f'{{"error":{{"message":"your key {spelled} is wrong"}}}}'})
    response = scene.post()
    assert response.json()["error"]["message"] == "your key *** is wrong"
    assert secret not in orjson.dumps(scene.record(response)).decode()


def test_no_client_is_sent_away_for_years(scene: Scene) -> None:
    scene.behave({"status": 429, "body": "{}", "headers": {"retry-after": "999999999"}})
    response = scene.post()
    assert (response.status_code, response.headers["retry-after"]) == (429, "86400")


@pytest.mark.parametrize("depth", [300, 900])
def test_a_body_nested_too_deeply(scene: Scene, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    body = orjson.dumps(scene.body())[:-1] + f',"x":{nested}}}'.encode()
    response = scene.http.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request_error")
    assert "nested too deeply" in response.json()["error"]["message"]
    assert scene.record(response)["status"] == 400
    assert scene.received() == []


def test_a_body_without_end_is_not_kept_on_disk(gateway: Process) -> None:
    """Django writes a long body to a temporary file before any view, and any login, is asked about it."""
    address = urlsplit(gateway.url)
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(
            b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(4):
            connection.sendall(chunk)
        # It has not been told that the body has ended.
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.skipif(SERVER == "daphne", reason="Twisted has limits of its own")
@pytest.mark.parametrize("unit", [b"x" * 50_000, b"x-a: " + b"y" * 5_000 + b"\r\n", b"a: b\r\n" * 500])
def test_a_head_without_end(gateway: Process, unit: bytes) -> None:
    """It would be kept in memory, and nobody has said yet who is asking."""
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nx-first: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000_000 // len(unit)):
                connection.sendall(unit)
            pytest.fail("ten megabytes of a head were taken")


def test_an_empty_line_before_a_request_is_passed_over(gateway: Process) -> None:
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"\r\n")
        time.sleep(0.1)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_provider_that_leads_back_to_the_gateway(gateway: Process, scene: Scene) -> None:
    """One request would become as many as there are file descriptors."""
    scene.add_provider(
        f"{scene.name}-loop", at=f"{gateway.url}/v1", api_key=scene.key, models=[f"{scene.name}-loop-model"]
    )
    response = scene.http.post(CHAT, json=scene.body() | {"model": f"{scene.name}-loop-model"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request_error")
    assert "came from this gateway itself" in response.json()["error"]["message"]


def test_a_gateway_behind_another_one_passes_on_whom_a_request_passed(scene: Scene) -> None:
    response = scene.post(headers={"cdn-loop": "llm-gateway-elsewhere"})
    assert response.status_code == 200
    assert scene.received()[0]["headers"]["cdn-loop"].startswith("llm-gateway-elsewhere, llm-gateway-")
