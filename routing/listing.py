"""`/v1/models`: the names that a caller may use as `model`."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson

from gateway_project.lib.errors import ApiError, ModelNotFound
from gateway_project.lib.wire import WireRequest, WireResponse
from routing import snapshot
from routing.embeddings import house
from routing.filters import names
from routing.http import JSON, describe, error_answer, with_standing
from routing.identify import identified
from routing.naming import AUTO, POLICY_PREFIX, why_absent
from routing.providers.base import Target
from routing.snapshot import Caller


async def answer(request: WireRequest, listed: Callable[[Caller], dict[str, Any]]) -> WireResponse:
    """What `listed` says to the request's caller, or the error that keeps it from being said."""
    caller: Caller | None = None
    try:
        caller = await identified(request.wire_headers, snapshot.current, scope="inference")
        body = orjson.dumps(listed(caller))
        response = WireResponse(200, [*describe(None), (b"x-gateway-cost-usd", b"0"), JSON], body)
    except ApiError as error:
        response = error_answer(error)
    return await with_standing(response, caller)


def all_models(caller: Caller) -> dict[str, Any]:
    """OpenAI's list object: `auto`, the policies, then each model under its bare id and as `<provider>/<model>`.

    The gateway's own models for embeddings come last, as far as the worker has said which it has.
    """
    return {"object": "list", "data": list(_known(caller).values())}


def one(caller: Caller, model_id: str) -> dict[str, Any]:
    """OpenAI's model object. Raises `ModelNotFound`."""
    found = _known(caller).get(model_id)
    if found is None:
        view, allowed = snapshot.current.workspace(caller.workspace_id), caller.allowed_models
        told = allowed is None or model_id in allowed
        why = why_absent(model_id, view) if told else f"The model '{model_id}' does not exist here."
        raise ModelNotFound(why, param="model")
    return found


def _known(caller: Caller) -> dict[str, dict[str, Any]]:
    view = snapshot.current.workspace(caller.workspace_id)
    targets = tuple(target for target in view.all if target.facts.enabled)
    if caller.privacy_mode == "strict":
        targets = tuple(target for target in targets if target.local)
    allowed = caller.allowed_models
    if allowed is not None:
        targets = tuple(target for target in targets if names(allowed, target))
    own = [house.known(state.id) for state in house.models.usable()]
    if allowed is not None:
        own = [target for target in own if names(allowed, target)]
    leaving = (AUTO, *(f"{POLICY_PREFIX}{name}" for name in view.policy_names)) if targets else ()
    found = {name: _model(name, "gateway", 0) for name in leaving}
    for target in (*targets, *own):
        found.setdefault(target.model, _model(target.model, target.provider, _made(target)))
    for target in (*targets, *own):
        found.setdefault(target.id, _model(target.id, target.provider, _made(target)))
    return found


def _model(model_id: str, owner: str, created: int) -> dict[str, Any]:
    return {"id": model_id, "object": "model", "created": created, "owned_by": owner}


def _made(target: Target) -> int:
    """When the target's provider was added, in Unix seconds: its id is a version 7 UUID, which begins with that."""
    return (UUID(target.provider_id).int >> 80) // 1000
