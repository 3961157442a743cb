"""A strict request never leaves for a cloud provider, wherever it was said to be strict."""

import time
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import CHAT, Scene


@pytest.fixture
def cloud(make_scene: MakeScene) -> Scene:
    return make_scene(kind="openai")


def forbidden(scene: Scene, response: httpx.Response) -> None:
    assert response.status_code == 403, response.text
    assert response.json()["error"]["code"] == "permission_denied"
    assert scene.received() == []
    assert scene.record(response)["status"] == 403


def test_a_cloud_provider_is_marked_so(cloud: Scene) -> None:
    response = cloud.post()
    assert response.headers["x-gateway-privacy"] == "cloud"
    assert cloud.record(response)["privacy"] == "cloud"


@pytest.mark.parametrize("fields", [{"privacy_mode": "strict"}, {"sensitivity": "confidential"}], ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_the_body_forbids(cloud: Scene, fields: dict[str, Any], stream: bool) -> None:
    forbidden(cloud, cloud.post(**fields, stream=stream))


@pytest.mark.parametrize("value", ["strict", "STRICT"])
def test_the_header_forbids(cloud: Scene, value: str) -> None:
    forbidden(cloud, cloud.post(headers={"x-gateway-privacy-mode": value}))


def test_the_strictest_of_body_and_header_wins(cloud: Scene) -> None:
    forbidden(cloud, cloud.post(privacy_mode="flexible", headers={"x-gateway-privacy-mode": "strict"}))
    forbidden(cloud, cloud.post(privacy_mode="strict", headers={"x-gateway-privacy-mode": "flexible"}))
    forbidden(cloud, cloud.post(privacy_mode="flexible", sensitivity="confidential"))


def test_the_key_forbids_and_nothing_loosens_it(cloud: Scene) -> None:
    key = cloud.account.create_key(privacy_mode="strict")["key"]
    end = time.monotonic() + 5
    while (response := strictly(cloud, key)).status_code == 401 and time.monotonic() < end:
        time.sleep(0.05)
    forbidden(cloud, response)
    forbidden(cloud, strictly(cloud, key, privacy_mode="flexible", sensitivity="public"))


def strictly(scene: Scene, key: str, **fields: Any) -> httpx.Response:
    headers = {"x-api-key": key, "x-gateway-privacy-mode": "flexible"}
    return httpx.post(scene.url + CHAT, json=scene.body(**fields), headers=headers, trust_env=False)


@pytest.mark.parametrize("model", ["bare", "auto"])
def test_a_strict_request_goes_to_the_local_provider(cloud: Scene, model: str) -> None:
    local = f"{cloud.name}-local"
    cloud.add_provider(local)
    for _ in range(3):
        response = cloud.post(model=cloud.model if model == "bare" else "auto", privacy_mode="strict")
        assert response.status_code == 200
        assert response.headers["x-gateway-privacy"] == "local"
    assert cloud.received() == []


def test_a_strict_request_does_not_fall_back_to_the_cloud(cloud: Scene) -> None:
    local = f"{cloud.name}-local"
    cloud.add_provider(local)
    cloud.behave({"status": 500}, provider=local)
    assert cloud.post(privacy_mode="strict").status_code == 503
    assert cloud.received() == []


def test_a_local_kind_in_the_cloud_is_cloud(make_scene: MakeScene, upstream: Any) -> None:
    """A vLLM on a public address is not local, and may not be declared so."""
    scene = make_scene()
    answer = scene.account.http.post(
        "/api/keys/providers",
        json={
            "kind": "vllm",
            "name": f"{scene.name}-far",
            "base_url": "https://93.184.216.34/v1",
            "models": ["m"],
            "locality": "local",
        },
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "locality")
