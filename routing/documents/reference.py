"""What the OpenAPI document says of the bodies that these endpoints read themselves."""

from typing import Any

from ninja import Schema
from pydantic import Field

from rag.schemas import LONGEST_QUERY, MOST_RESULTS, SearchIn
from routing.reference import taking

_METADATA = "What filters can ask about: at most 500 values, 5 levels, 16 KiB."
_LIBRARY = {"type": "string", "description": "A library's name; `default` without one."}

INGEST: dict[str, Any] = {
    "security": [{"GatewayKey": []}],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "Or several, or a ZIP."},
                        "library": _LIBRARY,
                        "title": {"type": "string", "maxLength": 500},
                        "source": {
                            "type": "string",
                            "maxLength": 1000,
                            "description": "The file's path; by default its name. Other bytes of the same source are "
                            "a new version of its document.",
                        },
                        "metadata": {"type": "string", "description": f"A JSON object. {_METADATA}"},
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "description": "Or a url."},
                        "url": {"type": "string", "maxLength": 1000, "description": "Fetched by the gateway."},
                        "title": {"type": "string", "maxLength": 500},
                        "source": {"type": "string", "maxLength": 1000},
                        "library": _LIBRARY,
                        "metadata": {"type": "object", "description": _METADATA},
                    },
                }
            },
        },
    },
}

SEARCH = taking(dict(SearchIn.model_json_schema()["properties"]), ["query"], "Search in documents")
SIMPLE_SEARCH = taking(
    {
        "query": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUERY},
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST_RESULTS, "default": 5},
    },
    ["query"],
    "Search, in a simple shape",
)


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


LIST: dict[str, Any] = {
    "security": [{"GatewayKey": []}],
    "parameters": [
        _parameter("library", {"type": "string"}),
        _parameter(
            "status", {"type": "string", "enum": ["queued", "parsing", "embedding", "ready", "failed", "waiting"]}
        ),
        _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
        _parameter("cursor", {"type": "string"}),
    ],
}


class SimpleResult(Schema):
    id: str = Field(description="The document's.")
    content: str
    metadata: dict[str, Any] = Field(description="The document's, with its title, source, library, and the page.")
    score: float


class FoundSimply(Schema):
    documents: list[SimpleResult]
    query: str
    count: int
