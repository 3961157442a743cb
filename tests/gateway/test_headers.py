"""Every `/v1` answer carries the contract's headers, errors included."""

import re
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.scene import Scene

ALWAYS = {
    "x-request-id", "x-gateway-provider", "x-gateway-model", "x-gateway-complexity", "x-gateway-cache",
    "x-gateway-attempts", "x-gateway-privacy", "x-gateway-overhead-ms",
}  # fmt: skip
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def missing(response: httpx.Response) -> set[str]:
    return ALWAYS - set(response.headers)


def test_on_an_answer(scene: Scene) -> None:
    response = scene.post()
    assert not missing(response)
    headers = response.headers
    assert UUID.fullmatch(headers["x-request-id"])
    assert headers["x-gateway-provider"] == scene.name
    assert headers["x-gateway-model"] == scene.model
    assert headers["x-gateway-complexity"] in ("simple", "moderate", "complex", "expert")
    assert headers["x-gateway-cache"] in ("miss", "off")
    assert headers["x-gateway-attempts"] == "1"
    assert headers["x-gateway-privacy"] == "local"
    assert Decimal(headers["x-gateway-cost-usd"]) == 0
    assert 0 <= float(headers["x-gateway-overhead-ms"]) < 1000


def test_with_the_sdk(scene: Scene) -> None:
    raw = scene.sdk.chat.completions.with_raw_response.create(
        model=scene.model, messages=[{"role": "user", "content": "hi"}]
    )
    assert not ALWAYS - set(raw.headers)
    assert raw.parse().choices


def test_on_a_stream(scene: Scene) -> None:
    with scene.stream() as response:
        assert not missing(response)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "x-gateway-cost-usd" not in response.headers
        assert "content-encoding" not in response.headers
        response.read()


def test_the_overhead_does_not_count_the_upstreams_time(scene: Scene) -> None:
    scene.behave({"delay": 0.5})
    assert float(scene.post().headers["x-gateway-overhead-ms"]) < 300


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"messages": []}, 400), ({"model": "no-such-model"}, 404), ({"stream": 1}, 400)],
)
def test_on_a_refused_request(scene: Scene, fields: dict[str, Any], status: int) -> None:
    response = scene.post(**fields)
    assert response.status_code == status
    assert not missing(response)


def test_on_a_failed_request(scene: Scene) -> None:
    scene.behave({"status": 500})
    response = scene.post()
    assert response.status_code == 503
    assert not missing(response)
    assert response.headers["x-gateway-attempts"] == "3"


def test_on_a_request_without_a_key(scene: Scene) -> None:
    response = scene.http.post("/v1/chat/completions", json=scene.body(), headers={"authorization": ""})
    assert response.status_code == 401
    assert not missing(response)


def test_on_a_list_of_models(scene: Scene) -> None:
    assert not missing(scene.http.get("/v1/models"))


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/chat/completions", 405), ("GET", "/v1/nothing", 404)]
)
def test_on_a_path_or_method_there_is_not(scene: Scene, method: str, path: str, status: int) -> None:
    response = scene.http.request(method, path)
    assert response.status_code == status
    assert not missing(response)


def test_an_upstreams_headers_are_not_passed_on(scene: Scene) -> None:
    scene.behave(
        {"headers": {"set-cookie": "a=b", "x-request-id": "theirs", "openai-organization": "acme", "server": "x"}}
    )
    response = scene.post()
    assert "set-cookie" not in response.headers
    assert "openai-organization" not in response.headers
    assert response.headers["x-request-id"] != "theirs"
