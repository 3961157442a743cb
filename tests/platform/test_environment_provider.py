"""A provider that the operator named by variables answers right after the first sign-up."""

import socket
import time

import httpx

from tests.gateway.account import Account
from tests.platform.conftest import Start
from tests.upstream.process import Upstream


def test_auto_works_right_after_the_first_sign_up(start: Start) -> None:
    """Also while another provider takes connections and never says a word."""
    with Upstream() as upstream, socket.create_server(("127.0.0.1", 0)) as mute:
        upstream.serve(["tiny"])
        gateway = start(
            BACKEND_KIND="openai_compatible",
            BACKEND_BASE_URL=upstream.url,
            OLLAMA_BASE_URL=f"http://127.0.0.1:{mute.getsockname()[1]}",
        ).ready()
        account = Account(gateway.url)
        wait_for_an_answer(account, within=15)  # a second, where nothing else runs
        errors = {row["name"]: row["last_error"] for row in account.call("GET", "/api/keys/providers", 200)["data"]}
        assert errors == {"backend": None, "ollama": None}, "it waited until the mute one was given up"


def wait_for_an_answer(account: Account, *, within: float) -> None:
    """Ask for `auto` until somebody answers; fails after `within` seconds."""
    key, end = account.create_key()["key"], time.monotonic() + within
    question = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    while True:
        answer = httpx.post(
            account.http.base_url.join("/v1/chat/completions"),
            json=question, headers={"authorization": f"Bearer {key}"}, timeout=20, trust_env=False,
        )  # fmt: skip
        if answer.status_code == 200:
            return
        assert answer.json()["error"]["code"] == "no_available_model", answer.text
        assert time.monotonic() < end, f"no answer within {within} s"
        time.sleep(0.1)
