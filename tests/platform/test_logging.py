"""Log lines: one JSON object each, with the request's id, without secrets, prompts or local variables."""

import json
import logging
from uuid import UUID

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils.log import log_response

from gateway_project.lib.request_id import request_id
from gateway_project.logging import Structured, masked
from tests.platform.conftest import Lines

SECRETS = [
    "gw_0123456789abcdefghijklmnopqrstuv",
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "sk-ant-REDACTED",
    "gsk_abcdefghijklmnopqrstuvwxyz",
    "xai-abcdefghijklmnopqrstuvwx",
    "AIzaSyA0123456789abcdefghijklmnopqrstu",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWl0",
    "gAAAAABmabcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnop==",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("text", ["{}", "key={}.", "upstream said: Incorrect API key provided: {}", '{{"k": "{}"}}'])
def test_what_looks_like_a_credential_is_masked(secret: str, text: str) -> None:
    shown = masked(text.format(secret))
    assert secret not in shown
    assert secret[8:] not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://gateway:hunter2@db:5432/x", "postgres://gateway:***@db:5432/x"),
        ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("x-api-key: hunter2, accept: */*", "x-api-key: ***, accept: */*"),
        ("api_key='hunter2'", "api_key='***'"),
    ],
)
def test_credentials_are_known_by_where_they_stand(text: str, shown: str) -> None:
    assert "hunter2" not in masked(text)
    assert masked(text).startswith(shown.split("***")[0])


@pytest.mark.parametrize(
    "text",
    ["GET http://127.0.0.1:8000/v1/models 200", "the task-list of Bearer", "model sk-learn", "12:30 at db:5432"],
)
def test_ordinary_text_stays(text: str) -> None:
    assert masked(text) == text


def test_a_line_is_one_json_object_with_its_request(lines: Lines) -> None:
    token = request_id.set("req-1")
    try:
        logging.getLogger("gateway.test").info("said %s", "hello", extra={"attempt": 2})
    finally:
        request_id.reset(token)
    (line,) = lines()
    assert (line["event"], line["level"], line["request_id"], line["attempt"]) == ("said hello", "info", "req-1", 2)
    assert line["timestamp"].endswith("Z")


def test_a_field_named_like_a_secret_is_masked_whole(lines: Lines) -> None:
    logging.getLogger("gateway.test").warning("slow", extra={"provider": "openai", "api_key": "hunter2"})
    (line,) = lines()
    assert (line["event"], line["provider"], line["api_key"]) == ("slow", "openai", "***")


def test_a_terminal_gets_text() -> None:
    record = logging.makeLogRecord({"name": "gateway", "levelname": "INFO", "msg": "ready", "port": 8000})
    assert Structured(terminal=True).format(record).endswith("info     ready  port=8000  (gateway)")


def test_secrets_in_arguments_and_extras_are_masked(lines: Lines) -> None:
    logging.getLogger("gateway.test").error(
        "sent %s", {"headers": {"authorization": "Bearer hunter2"}}, extra={"upstream": {"body": [SECRETS[0]]}}
    )
    text = json.dumps(lines())
    assert SECRETS[0] not in text
    assert "hunter2" not in text


def test_a_traceback_has_its_message_masked_and_no_local_variables(lines: Lines) -> None:
    prompt = "what the customer asked"
    try:
        raise ValueError(f"rejected {SECRETS[2]}")
    except ValueError:
        logging.getLogger("gateway.test").exception("failed")
    (line,) = lines()
    assert "ValueError: rejected ***" in line["exception"]
    assert SECRETS[2] not in json.dumps(line)
    assert prompt not in json.dumps(line)


def test_an_exceptions_chain_cannot_flood_the_log(lines: Lines) -> None:
    try:
        raise ValueError("x" * 1_000_000)
    except ValueError:
        logging.getLogger("gateway.test").exception("failed")
    (line,) = lines()
    assert len(line["exception"]) < 10_000


@pytest.mark.parametrize("name", ["httpx", "aiohttp.access", "LiteLLM", "kombu", "urllib3"])
def test_talkative_libraries_are_quiet(lines: Lines, name: str) -> None:
    logging.getLogger(name).info("POST https://api.example.com with a prompt")
    assert lines() == []


def test_every_page_has_an_id_of_its_own(client: Client, db: None) -> None:
    first, second = (client.get("/openapi.json").headers["x-request-id"] for _ in range(2))
    assert UUID(first).version == 7
    assert first != second


@pytest.mark.parametrize(
    ("status", "level", "traced"), [(403, "info", False), (422, "info", False), (500, "error", True)]
)
def test_a_callers_fault_is_no_warning_and_has_no_traceback(
    lines: Lines, status: int, level: str, traced: bool
) -> None:
    fault = PermissionError("not yours")
    log_response("%s", "answer", response=HttpResponse(status=status), exception=fault)

    line = lines()[-1]
    assert (line["level"], "exception" in line) == (level, traced)
