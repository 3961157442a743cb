"""The OpenAI-compatible endpoints. Each only names its endpoint; `http.serve` does the rest."""

from typing import Any, cast

from django.http import HttpRequest
from ninja import Router

from gateway_project.lib.wire import WireRequest, WireResponse
from routing import feedback, http, listing, simple
from routing.endpoints import CHAT, COMPLETIONS, Endpoint

router = Router(tags=["Gateway"])


def described(endpoint: Endpoint, content: dict[str, Any], summary: str) -> dict[str, Any]:
    """What the OpenAPI document says of an endpoint whose body is not parsed by a schema."""
    properties = {
        "model": {"type": "string", "description": "auto, <provider>/<model>, or a bare model id."},
        endpoint.content: content,
        "stream": {"type": "boolean", "default": False},
        "privacy_mode": {"type": "string", "enum": ["strict", "flexible"]},
        "sensitivity": {"type": "string", "enum": ["public", "internal", "confidential"]},
        "task": {"type": "string", "enum": ["chat", "vision", "ocr"]},
        "complexity": {"type": "string", "enum": ["simple", "moderate", "complex", "expert"]},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return taking(properties, ["model", endpoint.content], summary, others=True)


def taking(
    properties: dict[str, Any],
    required: list[str],
    summary: str,
    *,
    others: bool = False,
    answer: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What the OpenAPI document says of a body of these members, and perhaps others, sent with a gateway key.

    `answer` are the members of what comes back, where no public API's reference says it.
    """
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": others}
    answered = {"type": "object", "required": list(answer or ()), "properties": answer or {}}
    told = {"responses": {200: {"content": {"application/json": {"schema": answered}}}}} if answer else {}
    return {
        **told,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "security": [{"GatewayKey": []}],
        "summary": summary,
    }


MESSAGES = {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role"]}}
PROMPT = {"oneOf": [{"type": "string"}, {"type": "array"}]}


@router.post("/v1/chat/completions", openapi_extra=described(CHAT, MESSAGES, "Create a chat completion"))
async def chat_completions(request: HttpRequest) -> WireResponse:
    """OpenAI's chat completions: any unknown field passes through to the provider."""
    return await http.serve(cast(WireRequest, request), CHAT)


@router.post("/v1/completions", openapi_extra=described(COMPLETIONS, PROMPT, "Create a completion"))
async def completions(request: HttpRequest) -> WireResponse:
    """OpenAI's legacy completions."""
    return await http.serve(cast(WireRequest, request), COMPLETIONS)


SIMPLE_FIELDS = {
    "message": {"type": "string", "minLength": 1, "maxLength": simple.LONGEST_MESSAGE},
    "sensitivity": {"type": "string", "enum": ["public", "internal", "confidential"]},
    "complexity": {"type": "string", "enum": ["simple", "moderate", "complex", "expert"]},
    "temperature": {"type": "number", "minimum": 0, "maximum": simple.HOTTEST},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": simple.MOST_TOKENS},
}


SIMPLE_ANSWER = {
    "message": {"type": "string"},
    "model_used": {"type": "string"},
    "tokens_used": {"type": "integer", "description": "Of the prompt and the answer."},
    "cost": {"type": "string", "description": "USD."},
    "cached": {"type": "boolean"},
}


@router.post("/chat", openapi_extra=taking(SIMPLE_FIELDS, ["message"], "Send a message", answer=SIMPLE_ANSWER))
async def chat(request: HttpRequest) -> WireResponse:
    """The policy chooses the model that answers; what is `confidential` goes to local models alone."""
    return await http.serve(cast(WireRequest, request), simple.SIMPLE)


@router.post(
    "/chat/stream",
    openapi_extra=taking(SIMPLE_FIELDS, ["message"], "Send a message, and read the answer as it is written"),
)
async def chat_stream(request: HttpRequest) -> WireResponse:
    """Server-sent events: `{"model"}`, then `{"content"}` for each piece of the answer, then `[DONE]`."""
    return await http.serve(cast(WireRequest, request), simple.SIMPLE_STREAM)


REQUEST_ID = {"type": "string", "format": "uuid", "description": "The answer's x-request-id."}
SCORE = {"type": "number", "minimum": -1, "maximum": 1}
JUDGEMENT = {
    "request_id": REQUEST_ID,
    "score": SCORE | {"description": "Or a label."},
    "label": {"type": "string", "enum": list(feedback.LABELS), "description": "1 or -1."},
}
FEEDBACK = {
    "request_id": REQUEST_ID,
    "score": SCORE,
    **{name: {"type": "string"} for name in ("provider", "model", "complexity")},
    **{name: {"type": "string", "format": "date-time"} for name in ("created_at", "updated_at")},
}


@router.post(
    "/v1/feedback", openapi_extra=taking(JUDGEMENT, ["request_id"], "Say how good an answer was", answer=FEEDBACK)
)
async def give_feedback(request: HttpRequest) -> WireResponse:
    """Kept with the request; said again, the last word counts. Policies that calibrate reckon with it."""
    return await feedback.serve(cast(WireRequest, request))


@router.get("/v1/models", summary="List the models", openapi_extra={"security": [{"GatewayKey": []}]})
async def list_models(request: HttpRequest) -> WireResponse:
    """The models that this gateway key may name, in OpenAI's shape."""
    return await listing.answer(cast(WireRequest, request), listing.all_models)


@router.get("/v1/models/{path:model_id}", summary="Describe a model", openapi_extra={"security": [{"GatewayKey": []}]})
async def get_model(request: HttpRequest, model_id: str) -> WireResponse:
    """One model that this gateway key may name."""
    return await listing.answer(cast(WireRequest, request), lambda caller: listing.one(caller, model_id))
