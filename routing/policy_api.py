"""`/api/routing`: policies and their versions, models, health, and what the next request would do."""

import time
from typing import Annotated, Any

import orjson
from django.conf import settings
from django.db.models import F, Prefetch, QuerySet
from django.http import HttpRequest
from ninja import Body, Query, Router, Status

from accounts.access import Action, Caller, get_or_404, require, scoped
from accounts.auth import api_auth
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.pagination import ListOf, PageQuery, paginate, paginate_named
from keys.models import GatewayKey, Provider
from keys.queries import KeyFacts, facts, gateway_keys
from routing import explain, health, services, snapshot
from routing.identify import NotReady
from routing.models import Policy, PolicyVersion
from routing.policy_document import NewPolicy, PolicyChange
from routing.queries import settings_facts
from routing.schemas import (
    ExplainOut,
    HealthOut,
    ModelOut,
    PolicyOut,
    Rollback,
    VersionOut,
    show_health,
    show_model,
    show_policy,
    show_version,
)
from routing.services.model_settings import ModelChange
from routing.targets import WorkspaceTargets, make_target

router = Router(auth=api_auth, tags=["Routing"])

# Seconds that an answer about the snapshot waits for it to show what was changed through another process.
PATIENCE = 1.0


class Authenticated(HttpRequest):
    """A request that `api_auth` let in."""

    auth: Caller


# --- Policies ------------------------------------------------------------------------------------


@router.get("/policies", response=ListOf[PolicyOut], summary="List policies")
def list_policies(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    policies = _with_current_version(scoped(Policy.objects.all(), request.auth))
    return paginate(policies, limit=page.limit, cursor=page.cursor).shown(_show)


@router.post("/policies", response={201: PolicyOut}, summary="Create a policy")
def create_policy(request: Authenticated, payload: NewPolicy) -> Status[dict[str, Any]]:
    """What is left out is at its default; `weights` of any size are taken, as only their proportions matter."""
    require(request.auth, Action.MANAGE_ROUTING)
    return Status(201, _show(services.create_policy(request.auth, payload)))


@router.get("/policies/{policy_id}", response=PolicyOut, summary="Describe a policy")
def get_policy(request: Authenticated, policy_id: str) -> dict[str, Any]:
    return _show(get_or_404(Policy.objects.all(), request.auth, policy_id))


@router.patch("/policies/{policy_id}", response=PolicyOut, summary="Change a policy")
def change_policy(request: Authenticated, policy_id: str, payload: PolicyChange) -> dict[str, Any]:
    """Each field that is named takes the place of its former value as a whole. Makes a version."""
    require(request.auth, Action.MANAGE_ROUTING)
    policy = get_or_404(Policy.objects.all(), request.auth, policy_id)
    return _show(services.change_policy(request.auth, policy, payload))


@router.delete("/policies/{policy_id}", response={204: None}, summary="Remove a policy")
def remove_policy(request: Authenticated, policy_id: str) -> Status[None]:
    """Refused while gateway keys name it. After the default, the built-in one holds."""
    require(request.auth, Action.MANAGE_ROUTING)
    services.remove_policy(request.auth, get_or_404(Policy.objects.all(), request.auth, policy_id))
    return Status(204, None)


@router.get("/policies/{policy_id}/versions", response=ListOf[VersionOut], summary="List a policy's versions")
def list_versions(request: Authenticated, policy_id: str, page: Query[PageQuery]) -> dict[str, Any]:
    """The newest first."""
    policy = get_or_404(Policy.objects.all(), request.auth, policy_id)
    versions = policy.versions.select_related("created_by")
    found = paginate(versions, order=("-version",), limit=page.limit, cursor=page.cursor)
    return found.shown(lambda version: show_version(policy, version))


@router.post("/policies/{policy_id}/rollback", response=PolicyOut, summary="Go back to a policy's version")
def roll_back_policy(request: Authenticated, policy_id: str, payload: Rollback) -> dict[str, Any]:
    """Makes a new version that says what that one said. The name, and whether it is the default, stay."""
    require(request.auth, Action.MANAGE_ROUTING)
    policy = get_or_404(Policy.objects.all(), request.auth, policy_id)
    return _show(services.roll_back(request.auth, policy, payload.version))


def _with_current_version(policies: QuerySet[Policy]) -> QuerySet[Policy]:
    current = PolicyVersion.objects.filter(version=F("policy__version"))
    return policies.prefetch_related(Prefetch("versions", current, to_attr="current"))


def _show(policy: Policy) -> dict[str, Any]:
    found = getattr(policy, "current", None) or [policy.versions.get(version=policy.version)]
    return show_policy(policy, found[0])


# --- Explain -------------------------------------------------------------------------------------


EXAMPLE = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "key_id": None}
Explained = Annotated[dict[str, Any], Body(..., examples=[EXAMPLE])]


@router.post("/explain", response=ExplainOut, exclude_unset=True, summary="Ask what a request would do")
def explain_request(request: Authenticated, payload: Explained) -> dict[str, Any]:
    """Where a request to `/v1/chat/completions` with this body would go now, and why; `key_id` beside it names the
    gateway key that would send it. Runs the request's own code, and sends nothing.
    """
    explain.admit(request.auth.user)
    key_id = payload.pop("key_id", None)
    if key_id is not None and type(key_id) is not str:
        raise InvalidRequest("key_id: must be the id of a gateway key.", param="key_id")
    view = _view(request.auth)
    key = None if key_id is None else _key(request.auth, key_id)
    try:
        return explain.explain(view, health.current, key, payload, workspace_id=str(request.auth.workspace.pk))
    except orjson.JSONEncodeError:
        raise InvalidRequest("The body is nested too deeply.", param="body") from None


def _key(caller: Caller, key_id: str) -> KeyFacts:
    """The key that would ask. Raises `NotFound`, and `InvalidRequest` for one that would not be let in."""
    row = get_or_404(GatewayKey.objects.all(), caller, key_id)
    known = snapshot.current.key(str(row.pk)) or next(gateway_keys({str(row.pk)}))
    if known.revoked or (known.expires_at is not None and known.expires_at <= time.time()):
        raise InvalidRequest(f"key_id: the gateway key '{known.name}' does not work any more.", param="key_id")
    return known


# --- Models and health ---------------------------------------------------------------------------


@router.get("/models", response=ListOf[ModelOut], summary="List models, with what is known of them")
def list_models(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    """Every model of every enabled provider, in the order of their ids."""
    view = _view(request.auth)
    targets, following = paginate_named(view.all, lambda target: target.id, limit=page.limit, cursor=page.cursor)
    return {"data": [show_model(target, view.settings.get(target.key)) for target in targets], "next_cursor": following}


@router.patch("/models/{path:model_id}", response=ModelOut, summary="Set what the workspace knows of a model")
def change_model(request: Authenticated, model_id: str, payload: ModelChange) -> dict[str, Any]:
    """`model_id` is `<provider name>/<model>`. null takes a value back: what the catalog says holds again."""
    require(request.auth, Action.MANAGE_ROUTING)
    provider, row = services.set_model(request.auth, model_id, payload)
    own = settings_facts(row)
    return show_model(make_target(facts(provider), row.model, own), own)


@router.get("/health", response=ListOf[HealthOut], summary="How every target is")
def list_health(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    """What this process found by asking them, and with a Redis what all of them did."""
    view = _view(request.auth)
    targets, following = paginate_named(view.all, lambda target: target.id, limit=page.limit, cursor=page.cursor)
    errors = dict(scoped(Provider.objects.all(), request.auth).values_list("name", "last_error"))
    data = [show_health(target, health.current, errors.get(target.provider, "")) for target in targets]
    return {"data": data, "next_cursor": following}


def _view(caller: Caller) -> WorkspaceTargets:
    """What the request path of this process knows of the workspace, with all that was committed before."""
    if not snapshot.current.ready.is_set():
        raise NotReady("The gateway is starting; its database has not answered yet.", headers={"retry-after": "1"})
    if settings.SEVERAL_PROCESSES:
        snapshot.current.catch_up(PATIENCE)
    return snapshot.current.workspace(str(caller.workspace.pk))
