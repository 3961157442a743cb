"""The OpenAI-compatible endpoints. Each only names its endpoint; `http.serve` does the rest."""

from typing import cast

from django.http import HttpRequest
from ninja import Router

from gateway_project.lib.wire import WireRequest, WireResponse
from routing import feedback, http, listing, simple
from routing.embeddings import house
from routing.endpoints import CHAT, COMPLETIONS
from routing.reference import MESSAGE, MESSAGE_ANSWER, MESSAGES, PROMPT, described, taking

router = Router(tags=["Gateway"])


@router.post("/v1/chat/completions", openapi_extra=described(CHAT, MESSAGES, "Create a chat completion"))
async def chat_completions(request: HttpRequest) -> WireResponse:
    """OpenAI's chat completions: any unknown field passes through to the provider."""
    return await http.serve(cast(WireRequest, request), CHAT)


@router.post("/v1/completions", openapi_extra=described(COMPLETIONS, PROMPT, "Create a completion"))
async def completions(request: HttpRequest) -> WireResponse:
    """OpenAI's legacy completions."""
    return await http.serve(cast(WireRequest, request), COMPLETIONS)


@router.post("/chat", openapi_extra=taking(MESSAGE, ["message"], "Send a message", asks=True, answer=MESSAGE_ANSWER))
async def chat(request: HttpRequest) -> WireResponse:
    """The policy chooses the model that answers; what is `confidential` goes to local models alone."""
    return await http.serve(cast(WireRequest, request), simple.SIMPLE)


@router.post(
    "/chat/stream",
    openapi_extra=taking(MESSAGE, ["message"], "Send a message, and read the answer as it is written", asks=True),
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
    await house.models.look()
    return await listing.answer(cast(WireRequest, request), listing.all_models)


@router.get("/v1/models/{path:model_id}", summary="Describe a model", openapi_extra={"security": [{"GatewayKey": []}]})
async def get_model(request: HttpRequest, model_id: str) -> WireResponse:
    """One model that this gateway key may name."""
    await house.models.look()
    return await listing.answer(cast(WireRequest, request), lambda caller: listing.one(caller, model_id))
