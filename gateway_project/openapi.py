"""What the OpenAPI document says of every operation: the contract's one shape of errors, and the gateway's headers."""

import functools
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from gateway_project.lib.errors import ApiError
from gateway_project.v1 import serves
from routing.reference import HEADERS, IDEMPOTENCY_KEY, RETRY_AFTER

Operation = dict[str, Any]

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": {"type": "string", "description": "What is wrong, for people."},
                "type": {"type": "string", "description": "OpenAI's class of errors."},
                "code": {"type": "string", "description": "What is wrong, for programs."},
                "param": {"type": ["string", "null"], "description": "The field or header that is wrong."},
            },
            "additionalProperties": True,
        }
    },
}


# Statuses that say when to come again.
PASSING = frozenset({409, 429, 503})


def document(schema: dict[str, Any]) -> None:
    """Add the error object to every operation of an OpenAPI document, and the gateway's headers to its answers."""
    components = schema["components"]
    components["schemas"]["Error"] = ERROR
    components["headers"] = {**HEADERS, **RETRY_AFTER}
    responses = components.setdefault("responses", {})
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            # django-ninja has them as numbers; beside a text of the same digits, JSON would have the member twice.
            operation["responses"] = {str(status): answer for status, answer in operation["responses"].items()}
            if serves(path):
                if not operation["responses"]:
                    operation["responses"]["200"] = {"description": "OK"}
                for answer in operation["responses"].values():
                    answer["headers"] = _headers()
            for status in sorted(set(_expected(path, method, operation))):
                operation["responses"][str(status)] = _error(responses, status, gateway=serves(path))
            operation["responses"]["default"] = _error(responses, None, gateway=serves(path))


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*HEADERS, *names)}


def _error(responses: dict[str, Any], status: int | None, *, gateway: bool) -> dict[str, Any]:
    """A reference to the answer of this status (None: any other), which is put among `responses`.

    `gateway`: of an endpoint that gateway keys call, whose errors have its headers, too.
    """
    phrase = HTTPStatus(status).phrase if status else "Error"
    name = f"{'Gateway' if gateway else ''}{phrase.replace(' ', '')}"
    if name not in responses:
        described = f"{phrase}: {', '.join(_codes()[status])}" if status else "Any other error"
        responses[name] = _response(described)
        if gateway:
            responses[name]["headers"] = _headers(*(RETRY_AFTER if status in PASSING else ()))
    return {"$ref": f"#/components/responses/{name}"}


def _expected(path: str, method: str, operation: Operation) -> Iterator[int]:
    """The statuses that a caller of this operation should know of; any other one has the same shape."""
    yield 400
    if "security" in operation:
        yield from (401, 403)
    if "{" in path:
        yield 404
    if "requestBody" in operation:
        yield 413
    if serves(path):
        if method == "post":
            yield from (404, 503)
        if IDEMPOTENCY_KEY in operation.get("parameters", []):  # a provider is asked, and paid
            yield from (402, 409, 429, 501, 504)
        elif method != "get" and path.startswith(("/documents", "/search")):  # within the key's limits
            yield 429
    elif method != "get":
        yield 409
    if path.startswith("/api/auth/") and "requestBody" in operation:
        yield from (401, 403, 429)


def _response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


@functools.cache
def _codes() -> dict[int, list[str]]:
    """The codes that go with each status."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for error in ApiError.__subclasses__():
        found[error.status].add(f"`{error.code}`")
    return {status: sorted(codes) for status, codes in found.items()}
