"""A request for a host that is not the gateway's: refused with what to do about it, and one line in the log."""

from dataclasses import replace

import pytest
from django.test import Client
from pytest_django import Settings

from tests.platform.conftest import Lines

ALLOWS = "This gateway does not answer to the name gw.example.com. Its operator allows it with "
VARIABLE = "PUBLIC_URL=http://gw.example.com:8000 in the environment or in .env."


@pytest.fixture
def elsewhere() -> Client:
    return Client(headers={"host": "gw.example.com:8000"})


@pytest.mark.parametrize("path", ["/api/auth/me", "/documents", "/health"])
def test_a_program_is_told_in_the_contracts_shape(elsewhere: Client, path: str) -> None:
    answer = elsewhere.get(path, headers={"accept": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": ALLOWS + VARIABLE,
        "type": "invalid_request_error",
        "code": "invalid_request_error",
        "param": "host",
    }


def test_a_browser_gets_a_page(elsewhere: Client) -> None:
    answer = elsewhere.get("/console/", headers={"accept": "text/html"})
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/html")
    assert VARIABLE in answer.content.decode()


def test_one_that_has_an_address_names_it(elsewhere: Client, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://gateway.example.com"
    settings.ENV = replace(settings.ENV, public_url=settings.PUBLIC_URL)
    message = elsewhere.get("/api/auth/me").json()["error"]["message"]
    assert message.startswith("This gateway is at https://gateway.example.com, not at gw.example.com:8000.")


@pytest.mark.parametrize("host", ["", "a b", "<script>", "a" * 300 + "/", "ünïcödé"])
def test_what_is_no_host_name_is_not_repeated(host: str) -> None:
    answer = Client(headers={"host": host}).get("/console/")
    assert answer.status_code == 400
    assert "The Host header of this request is no host name." in answer.content.decode()
    assert not host or host not in answer.content.decode()


def test_the_log_has_one_line_without_a_traceback(elsewhere: Client, lines: Lines) -> None:
    elsewhere.get("/api/auth/me")
    said = [line for line in lines() if "host" in line["event"] or "gw.example.com" in line["event"]]
    assert [(line["level"], line["event"]) for line in said] == [("info", f"refused a request: {ALLOWS}{VARIABLE}")]
    assert "exception" not in said[0]
