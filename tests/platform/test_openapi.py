"""The OpenAPI document: every operation says how it fails."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from routing.parse import GATEWAY_FIELDS
from tests.api_client import ApiClient


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/openapi.json").json()
    return described


def test_no_member_comes_twice(client: Client) -> None:
    """Swagger UI shows nothing of a document where one does."""

    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in members]
        assert len(names) == len(set(names)), names
        return dict(members)

    json.loads(client.get("/openapi.json").content, object_pairs_hook=once)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` of the document leads to. Raises KeyError where it leads nowhere."""
    found: dict[str, Any] = document
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_every_operation_documents_the_contracts_error(document: dict[str, Any]) -> None:
    error = document["components"]["schemas"]["Error"]
    for path, method, operation in operations(document):
        failures = {status: answer for status, answer in operation["responses"].items() if not status.startswith("2")}
        assert {"400", "default"} <= failures.keys(), (path, method)
        for answer in failures.values():
            schema = resolved(document, answer)["content"]["application/json"]["schema"]
            assert resolved(document, schema) == error
    assert error["properties"]["error"]["required"] == ["message", "type", "code", "param"]


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        (
            "/v1/chat/completions",
            "post",
            {"400", "401", "402", "403", "404", "409", "413", "429", "501", "503", "504"},
        ),
        ("/v1/feedback", "post", {"400", "401", "403", "404", "413", "503"}),
        ("/documents/search", "post", {"400", "401", "403", "404", "413", "429", "503"}),
        ("/documents/{document_id}", "delete", {"400", "401", "403", "404", "429"}),
        ("/v1/models", "get", {"400", "401", "403"}),
        ("/api/auth/login", "post", {"400", "401", "403", "409", "413", "429"}),
        ("/api/keys/providers/{provider_id}", "patch", {"400", "401", "403", "404", "409", "413"}),
    ],
)
def test_the_statuses_to_expect(document: dict[str, Any], path: str, method: str, statuses: set[str]) -> None:
    documented = document["paths"][path][method]["responses"]
    assert {status for status in documented if status >= "400"} - {"default"} == statuses
    assert "`invalid_api_key`" not in resolved(document, documented["400"])["description"]
    assert "`invalid_api_key`" in resolved(document, documented["401"])["description"]


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/documents/ingest", "post", {"200", "202"}),
        ("/documents/{document_id}", "delete", {"204"}),
        ("/v1/models", "get", {"200"}),
    ],
)
def test_the_statuses_of_what_was_done(document: dict[str, Any], path: str, method: str, statuses: set[str]) -> None:
    documented = document["paths"][path][method]["responses"]
    assert {status for status in documented if status < "400"} == statuses
    assert all("x-request-id" in documented[status]["headers"] for status in statuses)


def test_real_errors_are_as_documented(document: dict[str, Any], anonymous: ApiClient, api: ApiClient) -> None:
    described = document["components"]["schemas"]["Error"]["properties"]["error"]
    for answer, response in (
        (anonymous.get("/api/auth/me"), "Unauthorized"),
        (api.get("/api/analytics/requests/nothing"), "NotFound"),
        (api.post("/api/keys/providers", {"kind": "?", "name": "x"}), "BadRequest"),
    ):
        assert set(described["required"]) <= answer.error.keys()
        assert f"`{answer.error['code']}`" in document["components"]["responses"][response]["description"]


ASKING = ("/v1/chat/completions", "/v1/completions", "/chat", "/chat/stream")


@pytest.mark.parametrize("path", ASKING)
def test_what_asks_a_provider_takes_an_idempotency_key(document: dict[str, Any], path: str) -> None:
    operation = document["paths"][path]["post"]
    [header] = [each for each in operation["parameters"] if each["in"] == "header"]
    assert header["name"] == "Idempotency-Key"
    assert header["schema"]["maxLength"] == 255
    conflict = resolved(document, operation["responses"]["409"])
    assert "`idempotency_key_in_use`" in conflict["description"]
    assert "retry-after" in conflict["headers"]


def test_the_gateways_headers_are_on_every_answer_to_a_gateway_key(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if path.split("/")[1] not in ("v1", "chat"):
            continue
        for status, answer in operation["responses"].items():
            headers = (answer if status == "200" else resolved(document, answer))["headers"]
            assert {"x-request-id", "x-gateway-cost-usd", "x-gateway-attempts"} <= headers.keys(), (path, method)
            assert all(resolved(document, header)["description"] for header in headers.values())


def test_a_model_may_be_a_policy(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    properties = body["content"]["application/json"]["schema"]["properties"]
    assert "`policy/<name>`" in properties["model"]["description"]
    assert properties["complexity"]["enum"] == ["simple", "moderate", "complex", "expert"]


def test_every_operation_is_told_in_a_sentence_under_a_tag_that_is_explained(document: dict[str, Any]) -> None:
    explained = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        first, *rest = operation["summary"].split()
        assert first[0].isupper(), (path, method)
        # django-ninja makes a title of the function's name where nobody says it better.
        assert not rest or not all(word.istitle() for word in rest), (path, method, operation["summary"])
        assert set(operation["tags"]) <= explained, (path, method)


def test_what_a_chat_may_ask_of_the_gateway_is_told(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() >= GATEWAY_FIELDS
    legacy = document["paths"]["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() - legacy["properties"].keys() == {"messages", "rag"}
