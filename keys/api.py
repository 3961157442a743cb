"""`/api/keys`: gateway keys and providers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from accounts.access import Action, Caller, get_or_404, require, scoped
from accounts.auth import api_auth
from gateway_project.lib.pagination import ListOf, PageQuery, paginate
from keys import services
from keys.models import GatewayKey, KeySecret, Provider
from keys.queries import spent_by
from keys.schemas import (
    KeyChange,
    KeyOut,
    KeyWithSecret,
    NewKey,
    NewProvider,
    ProbeOut,
    ProviderChange,
    ProviderOut,
    Rotation,
    show_key,
    show_provider,
)

router = Router(auth=api_auth, tags=["Keys"])


class Authenticated(HttpRequest):
    """A request that `api_auth` let in."""

    auth: Caller


# --- Gateway keys --------------------------------------------------------------------------------


@router.get("/gateway", response=ListOf[KeyOut], summary="List gateway keys")
def list_gateway_keys(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    keys = _with_newest_secret(scoped(GatewayKey.objects.all(), request.auth))
    found = paginate(keys, limit=page.limit, cursor=page.cursor)
    spent = spent_by(found.data)
    return found.shown(lambda key: _show(key, spent))


@router.post("/gateway", response={201: KeyWithSecret}, summary="Create a gateway key")
def create_gateway_key(request: Authenticated, response: HttpResponse, payload: NewKey) -> Status[dict[str, Any]]:
    """`key` holds the secret, shown this once."""
    require(request.auth, Action.USE_KEYS)
    return _with_secret(response, *services.create_key(request.auth, payload))


@router.patch("/gateway/{key_id}", response=KeyOut, summary="Change a gateway key")
def change_gateway_key(request: Authenticated, key_id: str, payload: KeyChange) -> dict[str, Any]:
    require(request.auth, Action.USE_KEYS)
    key = get_or_404(GatewayKey.objects.all(), request.auth, key_id)
    return _show(services.change_key(request.auth, key, payload))


@router.delete("/gateway/{key_id}", response={204: None}, summary="Revoke a gateway key")
def revoke_gateway_key(request: Authenticated, key_id: str) -> Status[None]:
    require(request.auth, Action.USE_KEYS)
    services.revoke_key(request.auth, get_or_404(GatewayKey.objects.all(), request.auth, key_id))
    return Status(204, None)


@router.post("/gateway/{key_id}/rotate", response={201: KeyWithSecret}, summary="Give a gateway key a new secret")
def rotate_gateway_key(
    request: Authenticated, response: HttpResponse, key_id: str, payload: Rotation | None = None
) -> Status[dict[str, Any]]:
    """The old secret goes on working for `overlap_seconds`."""
    require(request.auth, Action.USE_KEYS)
    key = get_or_404(GatewayKey.objects.all(), request.auth, key_id)
    overlap = payload.overlap_seconds if payload else 0
    return _with_secret(response, *services.rotate_key(request.auth, key, overlap))


@router.post("/gateway/{key_id}/budget/reset", response=KeyOut, summary="Let a gateway key's spending begin anew")
def reset_gateway_key_budget(request: Authenticated, key_id: str) -> dict[str, Any]:
    require(request.auth, Action.USE_KEYS)
    key = get_or_404(GatewayKey.objects.all(), request.auth, key_id)
    return _show(services.reset_budget(request.auth, key))


def _with_newest_secret(keys: QuerySet[GatewayKey]) -> QuerySet[GatewayKey]:
    newest = KeySecret.objects.order_by("key_id", "-created_at", "-id").distinct("key_id")
    return keys.prefetch_related(Prefetch("secrets", newest, to_attr="newest"))


def _show(key: GatewayKey, spent: Mapping[UUID, Decimal] | None = None) -> dict[str, Any]:
    found = getattr(key, "newest", None) or [key.secrets.latest("created_at", "id")]
    return show_key(key, found[0], (spent or spent_by([key]))[key.pk])


def _with_secret(response: HttpResponse, key: GatewayKey, secret: str) -> Status[dict[str, Any]]:
    response["cache-control"] = "no-store"
    return Status(201, {**_show(key), "key": secret})


# --- Providers -----------------------------------------------------------------------------------


@router.get("/providers", response=ListOf[ProviderOut], summary="List providers")
def list_providers(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    providers = scoped(Provider.objects.defer("secret", "model_details"), request.auth)
    return paginate(providers, limit=page.limit, cursor=page.cursor).shown(show_provider)


@router.post("/providers", response={201: ProviderOut}, summary="Add a provider")
def create_provider(request: Authenticated, payload: NewProvider) -> Status[dict[str, Any]]:
    """It is asked for its models at once; `last_error` says why it could not be."""
    require(request.auth, Action.MANAGE_PROVIDERS)
    return Status(201, show_provider(services.create_provider(request.auth, payload)))


@router.patch("/providers/{provider_id}", response=ProviderOut, summary="Change a provider")
def change_provider(request: Authenticated, provider_id: str, payload: ProviderChange) -> dict[str, Any]:
    require(request.auth, Action.MANAGE_PROVIDERS)
    provider = get_or_404(Provider.objects.all(), request.auth, provider_id)
    return show_provider(services.change_provider(request.auth, provider, payload))


@router.delete("/providers/{provider_id}", response={204: None}, summary="Remove a provider")
def remove_provider(request: Authenticated, provider_id: str) -> Status[None]:
    require(request.auth, Action.MANAGE_PROVIDERS)
    services.remove_provider(request.auth, get_or_404(Provider.objects.all(), request.auth, provider_id))
    return Status(204, None)


@router.post("/providers/{provider_id}/test", response=ProbeOut, exclude_none=True, summary="Ask a provider how it is")
def test_provider(request: Authenticated, provider_id: str) -> dict[str, Any]:
    """What it answers is kept: this discovers its models at once."""
    require(request.auth, Action.MANAGE_PROVIDERS)
    provider = get_or_404(Provider.objects.all(), request.auth, provider_id)
    result = services.test_provider(provider)
    shown: dict[str, Any] = {"ok": result.ok, "latency_ms": result.latency_ms, "models": list(result.models)}
    if result.loaded is not None:
        shown["loaded"] = list(result.loaded)
    return shown if result.ok else {**shown, "error": result.error}
