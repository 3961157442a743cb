"""The endpoints for embeddings. Those for texts go through the pipeline; see `media` for the others."""

from typing import Any, cast

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from gateway_project.lib.wire import WireRequest, WireResponse
from rag.embedding.wire import MAX_INPUTS
from routing import http, listing
from routing.embeddings import house, media, reading
from routing.embeddings.text import PlainText
from routing.endpoints import EMBEDDINGS, Endpoint
from routing.parse import CHOICES
from routing.reference import IDEMPOTENCY_KEY, described, taking

router = Router(tags=["Embeddings"])

PLAIN = Endpoint(EMBEDDINGS.path, EMBEDDINGS.capability, EMBEDDINGS.content, "/v1/embeddings/text", PlainText())
# Nothing of a form is anybody's prompt.
IMAGE = Endpoint(EMBEDDINGS.path, EMBEDDINGS.capability, "file", "/v1/embeddings/image")
AUDIO = Endpoint(EMBEDDINGS.path, EMBEDDINGS.capability, "file", "/v1/embeddings/audio")

MODEL = {
    "type": "string",
    "default": "auto",
    "description": (
        "`auto`, or none: the gateway's own text model. `<provider>/<model>`: this model at this provider. A bare "
        "name: a model that a provider serves, else the gateway's own of that name; `gateway/<model>` is always the "
        "gateway's own. `GET /v1/models` lists all that a key may name."
    ),
}
TOKENS = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
INPUT = {
    "description": f"A text, up to {MAX_INPUTS} texts, or the model's own token ids of one or several.",
    "oneOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MAX_INPUTS},
        TOKENS,
        {"type": "array", "items": TOKENS, "minItems": 1, "maxItems": MAX_INPUTS},
    ],
}
OWN = {
    "truncate": {
        "type": "boolean",
        "default": False,
        "description": "For the gateway's own models: cut what is too long, instead of answering 400.",
    },
    "input_type": {
        "type": "string",
        "enum": ["document", "query"],
        "default": "document",
        "description": "What the text is for, where the model's card asks for another prompt; passed on to providers.",
    },
    "dimensions": {"type": "integer", "minimum": 1, "description": "For models whose vectors can be cut (Matryoshka)."},
}
NORMALIZED = {"type": "boolean", "default": True, "description": "Vectors of length 1."}
VECTORS = {
    "embeddings": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    "model": {"type": "string", "description": "Who made them: where a model stands in for another, that one."},
    "dimensions": {"type": "integer"},
}
TEXT = {
    "text": {"type": "string", "minLength": 1, "description": "Or texts."},
    "texts": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MAX_INPUTS},
    reading.NORMALIZE: NORMALIZED,
    "model": MODEL,
    **OWN,
    **{name: {"type": "string", "enum": list(CHOICES[name])} for name in ("privacy_mode", "sensitivity", "cache")},
    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
}


def _openai() -> dict[str, Any]:
    told = described(EMBEDDINGS, INPUT, "Create embeddings")
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    schema["required"] = ["input"]
    del schema["properties"]["stream"]
    schema["properties"] |= {
        "model": MODEL,
        "encoding_format": {
            "type": "string",
            "enum": ["float", "base64"],
            "default": "float",
            "description": "base64: float32, little endian.",
        },
        "user": {"type": "string"},
        **OWN,
    }
    return told


def _form(summary: str) -> dict[str, Any]:
    properties = {
        "file": {"type": "string", "format": "binary", "description": f"At most {media.MAX_FILE} bytes."},
        "model": {"type": "string", "description": "One of the gateway's own; without it the installation's."},
        "normalize": NORMALIZED,
    }
    told = taking({}, [], summary, answer=VECTORS)
    schema = {"type": "object", "required": ["file"], "properties": properties}
    told["requestBody"]["content"] = {"multipart/form-data": {"schema": schema}}
    return told | {"parameters": [IDEMPOTENCY_KEY]}


@router.post("/v1/embeddings", openapi_extra=_openai())
async def embeddings(request: HttpRequest) -> WireResponse:
    """OpenAI's embeddings, by a provider's model or the gateway's own: any unknown field passes through."""
    return await http.serve(cast(WireRequest, request), EMBEDDINGS)


@router.post("/v1/embeddings/text", openapi_extra=taking(TEXT, [], "Embed texts", asks=True, answer=VECTORS))
async def embed_text(request: HttpRequest) -> WireResponse:
    """A text, or texts, in; vectors out, in their order."""
    return await http.serve(cast(WireRequest, request), PLAIN)


@router.post("/v1/embeddings/image", openapi_extra=_form("Embed a picture"))
async def embed_image(request: HttpRequest) -> WireResponse:
    """PNG, JPEG, WebP, GIF, BMP, TIFF."""
    return await http.serve(cast(WireRequest, request), IMAGE, media.runner("image"))


@router.post("/v1/embeddings/audio", openapi_extra=_form("Embed a sound"))
async def embed_audio(request: HttpRequest) -> WireResponse:
    """WAV, FLAC, OGG, MP3; ten minutes at most."""
    return await http.serve(cast(WireRequest, request), AUDIO, media.runner("audio"))


class EmbeddingModel(Schema):
    id: str
    modality: str = Field(description="text, image, audio, or rerank.")
    dimensions: list[int] = Field(description="Those that can be asked for, the model's own first; may be unknown.")
    loaded: bool
    device: str = Field(description="Where it is loaded; empty while it is not.")
    available: bool = Field(description="Whether its weights are here.")
    default: bool = Field(description="Whether it is what a call without a model's name gets.")
    max_tokens: int | None
    fallback_for: str | None = Field(description="The model that it stands in for.")
    note: str | None = Field(description="Why it cannot be used, or what else there is to know.")


class EmbeddingModels(Schema):
    data: list[EmbeddingModel]


@router.get(
    "/v1/embeddings/models",
    summary="List the gateway's own embedding models",
    response=EmbeddingModels,
    openapi_extra={"security": [{"GatewayKey": []}]},
)
async def embedding_models(request: HttpRequest) -> WireResponse:
    """What the embedding worker has; while it is away, what it is to have, with a note."""
    await house.models.look()
    return await listing.answer(cast(WireRequest, request), house.listed)
