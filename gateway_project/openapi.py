"""What the OpenAPI document says of errors: the contract's one shape, and where which status is to be expected."""

from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from gateway_project.lib.errors import ApiError
from gateway_project.v1 import serves

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


def document_errors(schema: dict[str, Any]) -> None:
    """Add the error object to every operation of an OpenAPI document."""
    components = schema["components"]
    components["schemas"]["Error"] = ERROR
    responses = components.setdefault("responses", {})
    codes = _codes()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for status in sorted(set(_expected(path, method, operation))):
                name = HTTPStatus(status).phrase.replace(" ", "")
                responses[name] = _response(f"{HTTPStatus(status).phrase}: {', '.join(codes[status])}")
                operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
            operation["responses"]["default"] = {"$ref": "#/components/responses/Error"}
    responses["Error"] = _response("Any other error")


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
            yield from (404, 429, 501, 503, 504)
    elif method != "get":
        yield 409
    if path.startswith("/api/auth/") and "requestBody" in operation:
        yield from (401, 403, 429)


def _response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _codes() -> dict[int, list[str]]:
    """The codes that go with each status."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for error in ApiError.__subclasses__():
        found[error.status].add(f"`{error.code}`")
    return {status: sorted(codes) for status, codes in found.items()}
