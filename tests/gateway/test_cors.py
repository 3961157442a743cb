"""No page of another origin may read an answer, unless the operator names that origin."""

import httpx
import pytest

from tests.gateway.process import Process
from tests.gateway.scene import CHAT, Scene

ORIGIN = "https://evil.example"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/api/auth/login", "/api/keys/gateway"])
def test_a_preflight_grants_nothing(gateway: Process, path: str) -> None:
    response = httpx.options(
        gateway.url + path,
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        },
        trust_env=False,
    )
    assert not [name for name in response.headers if name.startswith("access-control-")]
    assert response.status_code < 500


def test_an_answer_grants_nothing(scene: Scene) -> None:
    for response in (scene.post(headers={"origin": ORIGIN}), scene.post(headers={"origin": "null"}, messages=[])):
        assert not [name for name in response.headers if name.startswith("access-control-")]
