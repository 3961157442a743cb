"""What the OpenAPI document says of the endpoints whose bodies no schema reads, and of the headers of their answers."""

from collections.abc import Mapping
from typing import Any

from routing import simple
from routing.endpoints import CHAT, Endpoint
from routing.grounding.wish import LONGEST_NAME, MOST_PASSAGES, PASSAGES
from routing.idempotency.naming import LONGEST
from routing.parse import CHOICES

MODEL = """
`auto`: the policy of the key or the workspace decides. `policy/<name>`: that policy decides. `<provider>/<model>`: this
model at this provider. A bare model id: whichever provider serves it best. `GET /v1/models` lists all that a key may
name.
""".strip()

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "Makes it safe to send a request again: for 24 hours the same key with the same body, to the same path, "
        "gets the first answer again, a stream whole, at no cost and without a provider being asked; such an answer "
        "has `idempotent-replayed: true`, and `original-request` names the first. With another body it is 409, and "
        "while the first request still runs 409 with `retry-after`. The scope is the gateway key. Kept are whole "
        "answers and what a provider found wrong with the request; after a 401, 402, 403, 429, 5xx, or a client that "
        "left before the end, the key is free again. Answers are kept encrypted in the gateway's own database, those "
        "to strict requests, too; one that exceeds 4 MiB compressed is not kept, and its key is then refused (409) "
        "rather than run twice. While the database is away a request with a key gets 503."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[ -~]+$"},
}


RAG = {
    "type": "object",
    "description": (
        "Answer from a library's documents: the model is shown the passages that a search finds, and what the answer "
        "quotes is in `choices[0].message.annotations`; in a stream, in one event before its end."
    ),
    "required": ["library"],
    "properties": {
        "library": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "description": "Its name."},
        "top_k": {"type": "integer", "minimum": 1, "maximum": MOST_PASSAGES, "default": PASSAGES},
        "filters": {
            "type": "object",
            "description": 'Over the documents\' metadata, such as `{"year": {"gte": 2024}}`.',
        },
    },
    "additionalProperties": False,
}


def described(endpoint: Endpoint, content: dict[str, Any], summary: str) -> dict[str, Any]:
    """What the OpenAPI document says of an endpoint in OpenAI's own shape, whose unknown members pass through."""
    properties = {
        "model": {"type": "string", "description": MODEL},
        endpoint.content: content,
        "stream": {"type": "boolean", "default": False},
        **{name: {"type": "string", "enum": list(choices)} for name, choices in CHOICES.items()},
        **({"rag": RAG} if endpoint is CHAT else {}),
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return taking(properties, ["model", endpoint.content], summary, others=True, asks=True)


def taking(
    properties: dict[str, Any],
    required: list[str],
    summary: str,
    *,
    others: bool = False,
    asks: bool = False,
    answer: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What the OpenAPI document says of a body of these members, and perhaps others, sent with a gateway key.

    `asks`: a provider is asked, so that an idempotency key is of use. `answer` are the members of what comes back,
    where no public API's reference says it.
    """
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": others}
    answered = {"type": "object", "required": list(answer or ()), "properties": answer or {}}
    told = {"responses": {200: {"content": {"application/json": {"schema": answered}}}}} if answer else {}
    return {
        **told,
        **({"parameters": [IDEMPOTENCY_KEY]} if asks else {}),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "security": [{"GatewayKey": []}],
        "summary": summary,
    }


MESSAGES = {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role"]}}
PROMPT = {"oneOf": [{"type": "string"}, {"type": "array"}]}

MESSAGE = {
    "message": {"type": "string", "minLength": 1, "maxLength": simple.LONGEST_MESSAGE},
    **{name: {"type": "string", "enum": list(CHOICES[name])} for name in simple.GATEWAY_FIELDS},
    "temperature": {"type": "number", "minimum": 0, "maximum": simple.HOTTEST},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": simple.MOST_TOKENS},
}
MESSAGE_ANSWER = {
    "message": {"type": "string"},
    "model_used": {"type": "string"},
    "tokens_used": {"type": "integer", "description": "Of the prompt and the answer."},
    "cost": {"type": "string", "description": "USD."},
    "cached": {"type": "boolean"},
}


def _header(description: str, *, whole: bool = False, choices: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer" if whole else "string"}
    return {"description": description, "schema": schema | ({"enum": list(choices)} if choices else {})}


# On every answer to a gateway key, errors included.
HEADERS: Mapping[str, dict[str, Any]] = {
    "x-request-id": _header("This request's id: its record's in the ledger, and what to name in a question."),
    "x-gateway-provider": _header("The provider that answered; empty where none did."),
    "x-gateway-model": _header("The model that answered; empty where none did."),
    "x-gateway-complexity": _header(
        "What the request was classified as; empty where it did not come to that.", choices=("", *CHOICES["complexity"])
    ),
    "x-gateway-cache": _header("Whether a cache had the answer.", choices=("miss", "hit", "semantic", "off")),
    "x-gateway-attempts": _header("How many times a provider was asked.", whole=True),
    "x-gateway-privacy": _header(
        "Whether the model that answered is in the house; empty where none did.", choices=("", "local", "cloud")
    ),
    "x-gateway-cost-usd": _header("What the answer cost, in USD. Not on streams: their record has it."),
    "x-gateway-overhead-ms": _header("Milliseconds that the gateway itself took."),
    "x-ratelimit-limit-requests": _header("On limited keys: the requests that a window admits.", whole=True),
    "x-ratelimit-remaining-requests": _header("On limited keys: how many of them are left.", whole=True),
    "x-ratelimit-reset-requests": _header("On limited keys: seconds until all are there again.", whole=True),
    "idempotent-replayed": _header("`true` on the first answer's replay to an `Idempotency-Key`.", choices=("true",)),
    "original-request": _header("On a replay: the x-request-id of the first answer."),
}
RETRY_AFTER = {"retry-after": _header("Whole seconds until it is worth another try.", whole=True)}
