"""What was created, changed or revoked holds for the very next call."""

import httpx

from tests.gateway.account import Account
from tests.gateway.process import Process

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}


def ask(gateway: Process, key: str) -> int:
    sent = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=BODY, headers=sent, trust_env=False).status_code


def test_a_provider_and_a_key_serve_the_next_call(gateway: Process) -> None:
    account = Account(gateway.url, "hasty")
    for number in range(5):
        provider = account.add_provider(kind="demo", name=f"demo{number}")
        key = account.create_key()
        assert ask(gateway, key["key"]) == 200
        account.change_provider(provider, enabled=False)
        assert ask(gateway, key["key"]) == 503
        account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)
        assert ask(gateway, key["key"]) == 401
