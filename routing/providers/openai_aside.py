"""Embeddings of the kinds whose chats litellm translates: Gemini and Azure take OpenAI's request for these as it is.

Gemini has it under `/openai` with the key as a bearer token (ai.google.dev/gemini-api/docs/openai), Azure under each
deployment (learn.microsoft.com, Azure OpenAI reference).
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from routing import http1
from routing.endpoints import EMBEDDINGS
from routing.providers.base import Failure, Target, Timeouts, UpstreamError
from routing.providers.openai_wire import OpenAIWire, WireReply, prepare

# The same as for chats (`litellm_bridge`).
AZURE_API_VERSION = "2024-10-21"

_wire = OpenAIWire()


def _gemini(target: Target, key: str) -> tuple[str, dict[str, str]]:
    return f"{target.base_url}/openai{EMBEDDINGS.path}", {"Authorization": f"Bearer {key}"}


def _azure(target: Target, key: str) -> tuple[str, dict[str, str]]:
    deployment = quote(target.model, safe="")
    url = f"{target.base_url}/openai/deployments/{deployment}{EMBEDDINGS.path}?api-version={AZURE_API_VERSION}"
    return url, target.kind.auth_headers(key)


# By kind: where its embeddings are, and the header that carries the key.
PLACES: dict[str, Callable[[Target, str], tuple[str, dict[str, str]]]] = {"gemini": _gemini, "azure": _azure}


async def embeddings(target: Target, body: dict[str, Any], *, timeouts: Timeouts) -> WireReply:
    """See `routing.providers.base.Transport.send`."""
    if target.kind.id not in PLACES:
        raise UpstreamError(Failure.UNSUPPORTED, f"{target.kind.label} has no embeddings.")
    if EMBEDDINGS.path not in target.prepared:
        target.prepared[EMBEDDINGS.path] = _prepared(target)
    return await _wire.send(target, EMBEDDINGS.path, body, stream=False, timeouts=timeouts)


def _prepared(target: Target) -> http1.Request:
    if target.secret is None:
        raise UpstreamError(Failure.STATUS, f"{target.kind.label} needs an API key.", status=401)
    if target.model in (".", ".."):
        raise UpstreamError(Failure.STATUS, "This cannot be a deployment's name.", status=404)
    url, headers = PLACES[target.kind.id](target, target.secret.reveal())
    always = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "llm-gateway"}
    return prepare(url, always | headers)
