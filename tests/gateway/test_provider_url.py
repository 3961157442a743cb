"""A provider's address cannot lead the gateway into its own network."""

import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.upstream import Upstream

REFUSED = [
    "http://user:hunter2@127.0.0.1:9000",
    "http://user@127.0.0.1:9000/v1",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/",
    "unix:///tmp/x",
    "javascript:alert(1)",
    "//127.0.0.1/v1",
    "127.0.0.1:9000",
    "http://",
    "http:///v1",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:0x50",
    "http://10.0.0.1/v1",
    "http://192.168.1.1",
    "http://172.16.0.1",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1",
    "http://0.0.0.0:8000",
    "http://127.0.0.2:8000",
    "http://2130706434/",
    "http://0x7f000002/",
    "http://0177.0.0.2/",
    "http://127.2/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/v1",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://224.0.0.1",
    "http://255.255.255.255",
    "http://exa mple.com",
    "http://example.com\r\nx: y/",
    "http://example.com/v1?key=1",
    "http://example.com/v1#frag",
    "http://" + "a" * 5000,
    "http://\x00/",
    "",
]


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: ascii(url)[:40])
def test_an_address_that_is_refused(account: Account, url: str) -> None:
    answer = account.http.post(
        "/api/keys/providers", json={"kind": "openai_compatible", "name": "bad", "base_url": url, "models": ["m"]}
    )
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_request_error", "base_url")
    assert "hunter2" not in error["message"]


def test_a_change_is_checked_as_well(make_scene: MakeScene) -> None:
    scene = make_scene()
    answer = scene.account.http.patch(
        f"/api/keys/providers/{scene.provider['id']}", json={"base_url": "http://169.254.169.254/"}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "base_url")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(make_scene: MakeScene, upstream: Upstream, status: int) -> None:
    scene = make_scene()
    scene.behave(
        {"status": status, "headers": {"location": f"{upstream.base_url('elsewhere')}/v1/chat/completions"}, "body": ""}
    )
    response = scene.post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_available_model")
    assert upstream.requests(scene="elsewhere") == []


def test_a_redirect_is_not_followed_when_models_are_listed(make_scene: MakeScene, upstream: Upstream) -> None:
    scene = make_scene()
    upstream.behave(
        "/v1/models", {"status": 302, "headers": {"location": f"{upstream.base_url('hidden')}/v1/models"}, "body": ""},
        scene=scene.name,
    )  # fmt: skip
    result = scene.account.call("POST", f"/api/keys/providers/{scene.provider['id']}/test", 200)
    assert result["ok"] is False
    assert result["error"]
    assert upstream.requests(scene="hidden") == []
