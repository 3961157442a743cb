"""What `/api` says to a body that does not fit: the field that is wrong, and what would be right."""

import json
from typing import Any

import pytest

from tests.api_client import ApiClient

KEYS, POLICIES = "/api/keys/gateway", "/api/routing/policies"


@pytest.mark.parametrize("path", [KEYS, POLICIES])
def test_an_unknown_field_comes_with_those_that_there_are(api: ApiClient, path: str) -> None:
    error = api.post(path, {"name": "x", "colour": "red"}).error
    assert error["param"] == "colour"
    assert error["message"].startswith("colour: unknown; the fields are ")
    assert ", name, " in error["message"]


def test_an_unknown_field_within_an_object(api: ApiClient) -> None:
    error = api.post(POLICIES, {"name": "x", "weights": {"price": 1}}).error
    assert (error["param"], error["message"]) == (
        "weights.price",
        "weights.price: unknown; the fields are cost, quality, speed.",
    )


@pytest.mark.parametrize("body", [[], "text", 5, None, True], ids=repr)
@pytest.mark.parametrize("path", [KEYS, POLICIES, "/api/auth/login"])
def test_a_body_that_is_no_object(api: ApiClient, path: str, body: Any) -> None:
    answer = api.post(path, json.dumps(body).encode())
    assert (answer.status, answer.error["param"]) == (400, "body")
    assert answer.error["message"] == "The body must be a JSON object."


@pytest.mark.parametrize("path", [KEYS, POLICIES, "/api/auth/login"])
def test_a_body_that_is_missing(api: ApiClient, path: str) -> None:
    answer = api.post(path, b"")
    assert (answer.status, answer.error["param"]) == (400, "body")
    assert answer.error["message"] == "body: must be a JSON object, and is missing."


def test_a_field_that_is_no_object(api: ApiClient) -> None:
    error = api.post(POLICIES, {"name": "x", "weights": 3}).error
    assert error["message"] == "weights: must be a JSON object."


def test_a_query_that_does_not_fit(api: ApiClient) -> None:
    assert api.get(KEYS, limit="many").error["param"] == "limit"
