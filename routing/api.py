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


def taking(properties: dict[str, Any], required: list[str], summary: str, *, others: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of a body of these members, and perhaps others, sent with a gateway key."""
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": others}
    return {
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


@router.post(
    "/chat", openapi_extra=taking(SIMPLE_FIELDS, ["message"], "Say something to the model that the policy chooses")
)
async def chat(request: HttpRequest) -> WireResponse:
    """A message in; `{message, model_used, tokens_used, cost, cached}` out. `confidential` leaves no local machine."""
    return await http.serve(cast(WireRequest, request), simple.SIMPLE)


@router.post("/chat/stream", openapi_extra=taking(SIMPLE_FIELDS, ["message"], "The same, as it is written"))
async def chat_stream(request: HttpRequest) -> WireResponse:
    """Server-sent events: `{"model"}`, then `{"content"}` for each piece of the answer, then `[DONE]`."""
    return await http.serve(cast(WireRequest, request), simple.SIMPLE_STREAM)


JUDGEMENT = {
    "request_id": {"type": "string", "format": "uuid", "description": "The answer's x-request-id."},
    "score": {"type": "number", "minimum": -1, "maximum": 1, "description": "Or a label."},
    "label": {"type": "string", "enum": list(feedback.LABELS)},
}


@router.post("/v1/feedback", openapi_extra=taking(JUDGEMENT, ["request_id"], "Say how good an answer was"))
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
